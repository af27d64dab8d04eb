package group

// DNSBy is DNS with another resolver.
var DNSBy = dns
