package config

import (
	"fmt"
	"os"
	"strings"

	"github.com/gometheus/gometheus/internal/common/config"
	"github.com/gometheus/gometheus/internal/common/logger"
	"github.com/gometheus/gometheus/pkg/client"
)

// Access is how the agent and the server know each other.
type Access struct {
	CA, Cert, Key string // PEM files; empty: those of the system, none, none
	User          string // empty: none
	Password      logger.Secret
}

// AccessSettings are the settings of Access.
type AccessSettings struct {
	TLSCA   config.Var[string] `group:"Security" flag:"tls-ca" env:"TLS_CA" help:"Authorities that vouch for an https:// server, in PEM; empty: those of the system."`
	TLSCert config.Var[string] `group:"Security" flag:"tls-cert" env:"TLS_CERT" help:"Certificate to show to an https:// server, in PEM; empty: none. Read again for each connection."`
	TLSKey  config.Var[string] `group:"Security" flag:"tls-key" env:"TLS_KEY" help:"The certificate's key, in PEM."`

	BasicAuthUser         config.Var[string]        `group:"Security" flag:"basic-auth-user" env:"BASIC_AUTH_USER" help:"User to log in with, if it doesn't stand in ADDRESS (https://user:password@host); empty: none."`
	BasicAuthPassword     config.Var[logger.Secret] `group:"Security" flag:"basic-auth-password" env:"BASIC_AUTH_PASSWORD" help:"The user's password. Prefer the variable or the file: everybody on the machine sees flags."`
	BasicAuthPasswordFile config.Var[string]        `group:"Security" flag:"basic-auth-password-file" env:"BASIC_AUTH_PASSWORD_FILE" help:"A file with the password, read at start; a line break at its end doesn't count."`
}

func defaultAccess() AccessSettings {
	return AccessSettings{
		TLSCA: config.CheckedPath("a PEM file with certificates", func(path string) error {
			_, err := client.TLSFiles(path, "", "")
			return err
		}),
		TLSCert:               config.PathOrEmpty(""),
		TLSKey:                config.PathOrEmpty(""),
		BasicAuthUser:         config.Text(),
		BasicAuthPassword:     config.Secret(),
		BasicAuthPasswordFile: config.CheckedPath("a file that can be read", readable),
	}
}

func readable(path string) error {
	_, err := os.ReadFile(path)
	return err
}

// complete fills cfg.Access, and takes the user out of cfg.Address.
func (s *AccessSettings) complete(cfg *Config) error {
	a := Access{
		CA: s.TLSCA.Value(), Cert: s.TLSCert.Value(), Key: s.TLSKey.Value(),
		User: s.BasicAuthUser.Value(), Password: s.BasicAuthPassword.Value(),
	}
	if err := a.checkTLS(cfg.Address); err != nil {
		return err
	}
	if path := s.BasicAuthPasswordFile.Value(); path != "" {
		if a.Password != "" {
			return wrong("BASIC_AUTH_PASSWORD_FILE", path, "BASIC_AUTH_PASSWORD or a file, not both")
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read BASIC_AUTH_PASSWORD_FILE: %w", err)
		}
		a.Password = logger.Secret(strings.TrimRight(string(text), "\r\n"))
	}
	address, user := config.SplitUser(cfg.Address)
	switch {
	case user != nil && (a.User != "" || a.Password != ""):
		return &config.Error{Setting: "BASIC_AUTH_USER", Allowed: "a user in ADDRESS or settings of its own, not both"}
	case user != nil:
		password, _ := user.Password()
		cfg.Address, a.User, a.Password = address, user.Username(), logger.Secret(password)
	case a.User == "" && a.Password != "":
		return &config.Error{Setting: "BASIC_AUTH_USER", Reason: "there is a password without a user", Allowed: "a user"}
	case strings.Contains(a.User, ":"):
		return wrong("BASIC_AUTH_USER", a.User, "a user without a colon")
	}
	cfg.Access = a
	return nil
}

func (a *Access) checkTLS(address string) error {
	switch {
	case a.Cert != "" && a.Key == "":
		return &config.Error{Setting: "TLS_KEY", Reason: "TLS_CERT has none", Allowed: "the certificate's key"}
	case a.Key != "" && a.Cert == "":
		return &config.Error{Setting: "TLS_CERT", Reason: "TLS_KEY has none", Allowed: "the key's certificate"}
	case a.CA+a.Cert != "" && !strings.HasPrefix(address, "https://"):
		return &config.Error{Setting: "ADDRESS", Reason: "TLS_CA and TLS_CERT are for TLS", Allowed: "an https:// URL"}
	}
	if _, err := client.TLSFiles("", a.Cert, a.Key); err != nil {
		return &config.Error{
			Setting: "TLS_CERT", Value: a.Cert, Valued: true,
			Reason:  strings.Join(strings.Fields(err.Error()), " "),
			Allowed: "PEM files of a certificate and, in TLS_KEY, its key",
		}
	}
	return nil
}

func wrong(setting, value, allowed string) error {
	return &config.Error{Setting: setting, Value: value, Valued: true, Allowed: allowed}
}
