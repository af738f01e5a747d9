package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sluice/internal/awsapi"
	"sluice/internal/identity"
)

const (
	// defaultAccount is the account of the root credentials. Source: Mail Manager, A28.
	defaultAccount = "000000000000"

	credentialsFileName = "root-credentials"
	envRootKeyID        = "SLUICE_ROOT_ACCESS_KEY_ID"
	envRootSecret       = "SLUICE_ROOT_SECRET_ACCESS_KEY"

	minKeyIDLength = 16 // what AWS clients accept: 16 to 128
)

// rootCredentials are the access key that may do everything in the default account. They implement awsapi.Credentials.
type rootCredentials struct {
	keyID, secret string
	file          string // where they are kept; empty when the environment gave them
}

// Lookup finds the secret of an access key id. The comparison need not be constant in time: a key id is no secret.
func (c *rootCredentials) Lookup(_ context.Context, keyID string) (awsapi.Key, bool) {
	if keyID != c.keyID {
		return awsapi.Key{}, false
	}
	return awsapi.Key{Secret: c.secret, Account: defaultAccount}, true
}

// openRootCredentials takes the root credentials from the environment, else from the data directory, where it makes them
// on the first start.
func openRootCredentials(dir *dataDir, getenv func(string) string) (*rootCredentials, error) {
	keyID, secret := getenv(envRootKeyID), getenv(envRootSecret)
	switch {
	case (keyID == "") != (secret == ""):
		return nil, usage(fmt.Errorf("%s and %s go together", envRootKeyID, envRootSecret), "set both or neither")
	case keyID != "" && len(keyID) < minKeyIDLength:
		return nil, usage(fmt.Errorf("%s is shorter than the %d characters that AWS clients accept", envRootKeyID, minKeyIDLength), "")
	case keyID != "":
		return &rootCredentials{keyID: keyID, secret: secret}, nil
	}
	path := dir.file(credentialsFileName)
	stored, err := readCredentials(path)
	if errors.Is(err, fs.ErrNotExist) {
		drawn := identity.GenerateKey()
		made := &rootCredentials{keyID: drawn.ID, secret: drawn.Secret, file: path}
		return made, made.write(path)
	}
	return stored, err
}

// write makes the file whole or not at all, readable by its owner only.
func (c *rootCredentials) write(path string) error {
	text := fmt.Sprintf("# Root credentials of this Sluice. Use them with AWS_SHARED_CREDENTIALS_FILE.\n"+
		"[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", c.keyID, c.secret)
	if err := writeFileSynced(path, text); err != nil {
		return fmt.Errorf("write the root credentials: %w", err)
	}
	return nil
}

func writeFileSynced(path, text string) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // does nothing once it is renamed
	_, err = temporary.WriteString(text)
	if err := errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename survive a power cut.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// readCredentials reads the default profile of a shared credentials file.
func readCredentials(path string) (*rootCredentials, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the root credentials: %w", err)
	}
	defer file.Close()
	c := &rootCredentials{file: path}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		switch strings.TrimSpace(key) {
		case "aws_access_key_id":
			c.keyID = strings.TrimSpace(value)
		case "aws_secret_access_key":
			c.secret = strings.TrimSpace(value)
		}
	}
	if c.keyID == "" || c.secret == "" {
		return nil, hint(fmt.Errorf("%s has no access key", path), "restore it, or move it away to have new ones made")
	}
	return c, nil
}
