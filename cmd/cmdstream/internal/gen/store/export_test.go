package store

// Locked is an error that is not exported.
var Locked = errLocked
