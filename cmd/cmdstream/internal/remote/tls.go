package remote

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// Security is the flags of TLS.
type Security struct {
	TLS        bool   `name:"tls" group:"Connection:" help:"Speak TLS."`
	CA         string `name:"ca" placeholder:"FILE" type:"path" group:"Connection:" help:"Whom to trust instead of the system's authorities (PEM)."`
	Cert       string `placeholder:"FILE" type:"path" group:"Connection:" help:"The certificate to show (PEM); needs --key."`
	Key        string `placeholder:"FILE" type:"path" group:"Connection:" help:"The certificate's private key (PEM)."`
	ServerName string `placeholder:"NAME" group:"Connection:" help:"The name that the server's certificate must have, if not the host of the address."`
	Insecure   bool   `group:"Connection:" help:"Take any certificate. For tests only."`
}

// Check holds the flags against each other. on tells whether TLS is spoken.
func (s Security) Check(on bool) error {
	for _, flag := range []struct {
		name string
		set  bool
	}{
		{"--ca", s.CA != ""},
		{"--cert", s.Cert != ""},
		{"--key", s.Key != ""},
		{"--server-name", s.ServerName != ""},
		{"--insecure", s.Insecure},
	} {
		if flag.set && !on {
			return fmt.Errorf("%s is of no use without --tls", flag.name)
		}
	}
	switch {
	case (s.Cert == "") != (s.Key == ""):
		return errors.New("--cert and --key belong together: give both, or none")
	case s.Insecure && s.CA != "":
		return errors.New("--insecure takes any certificate, so --ca is of no use with it")
	}
	return nil
}

// Config reads the files. The error is a *UsageError.
func (s Security) Config() (*tls.Config, error) {
	conf := &tls.Config{ServerName: s.ServerName, InsecureSkipVerify: s.Insecure}
	if s.CA != "" {
		text, err := os.ReadFile(s.CA)
		if err != nil {
			return nil, &UsageError{fmt.Errorf("--ca: %w", err)}
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(text) {
			return nil, &UsageError{fmt.Errorf("--ca: there is no certificate in %s: is it PEM?", s.CA)}
		}
	}
	if s.Cert != "" {
		certificate, err := tls.LoadX509KeyPair(s.Cert, s.Key)
		if err != nil {
			return nil, &UsageError{fmt.Errorf("--cert and --key: %w", err)}
		}
		conf.Certificates = []tls.Certificate{certificate}
	}
	return conf, nil
}
