package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/config"

	"sluice/internal/awsapi"
)

func environment(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestRootCredentialsAreMadeOnce(t *testing.T) {
	t.Parallel()
	dir := &dataDir{path: t.TempDir()}
	first, err := openRootCredentials(dir, environment(nil))
	if err != nil {
		t.Fatal(err)
	}
	second, err := openRootCredentials(dir, environment(nil))
	if err != nil {
		t.Fatal(err)
	}
	if *first != *second || first.keyID == "" || len(first.secret) != 40 {
		t.Errorf("got %v and %v", first, second)
	}
	other, err := openRootCredentials(&dataDir{path: t.TempDir()}, environment(nil))
	if err != nil {
		t.Fatal(err)
	}
	if other.keyID == first.keyID || other.secret == first.secret {
		t.Error("two servers have the same credentials")
	}
	info, err := os.Stat(first.file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v, want 0600", info.Mode(), err)
	}
}

func TestRootCredentialsAreInTheFormOfTheSDKs(t *testing.T) {
	t.Parallel()
	c, err := openRootCredentials(&dataDir{path: t.TempDir()}, environment(nil))
	if err != nil {
		t.Fatal(err)
	}
	shared, err := config.LoadSharedConfigProfile(t.Context(), "default", func(o *config.LoadSharedConfigOptions) {
		o.CredentialsFiles, o.ConfigFiles = []string{c.file}, []string{}
	})
	if err != nil || shared.Credentials.AccessKeyID != c.keyID || shared.Credentials.SecretAccessKey != c.secret {
		t.Errorf("the SDK reads %+v, %v, want %+v", shared.Credentials, err, c)
	}
}

func TestRootCredentialsFromTheEnvironment(t *testing.T) {
	t.Parallel()
	dir := &dataDir{path: t.TempDir()}
	c, err := openRootCredentials(dir, environment(map[string]string{envRootKeyID: "AKSLEXAMPLEEXAMPLE", envRootSecret: "secret"}))
	if err != nil || c.keyID != "AKSLEXAMPLEEXAMPLE" || c.secret != "secret" {
		t.Errorf("got %+v, %v", c, err)
	}
	if _, err := os.Stat(dir.file(credentialsFileName)); !os.IsNotExist(err) {
		t.Errorf("a file was made: %v", err)
	}
}

func TestRootCredentialsRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		environment map[string]string
		file        string
		want        string
	}{
		{"key id alone", map[string]string{envRootKeyID: "AKSLEXAMPLEEXAMPLE"}, "", "go together"},
		{"secret alone", map[string]string{envRootSecret: "secret"}, "", "go together"},
		{"short key id", map[string]string{envRootKeyID: "root", envRootSecret: "secret"}, "", "shorter"},
		{"empty file", nil, "\n", "no access key"},
		{"file without a secret", nil, "[default]\naws_access_key_id = AKSLEXAMPLEEXAMPLE\n", "no access key"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := &dataDir{path: t.TempDir()}
			if test.file != "" {
				if err := os.WriteFile(dir.file(credentialsFileName), []byte(test.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := openRootCredentials(dir, environment(test.environment)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	c := &rootCredentials{keyID: "AKSLEXAMPLEEXAMPLE", secret: "secret"}
	if key, ok := c.Lookup(t.Context(), "AKSLEXAMPLEEXAMPLE"); !ok || key != (awsapi.Key{Secret: "secret", Account: "000000000000"}) {
		t.Errorf("got %+v, %v", key, ok)
	}
	for _, unknown := range []string{"", "AKSLEXAMPLEEXAMPLF", "akslexampleexample"} {
		if _, ok := c.Lookup(t.Context(), unknown); ok {
			t.Errorf("%q is known", unknown)
		}
	}
}

func TestADataDirectoryHasOneServer(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "made", "on", "demand")
	first, err := openDataDir(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = openDataDir(path)
	if err == nil || !strings.Contains(err.Error(), "is in use by process ") {
		t.Errorf("got %v, want one that says by whom the directory is in use", err)
	}
	if err := first.unlock(); err != nil {
		t.Fatal(err)
	}
	again, err := openDataDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.unlock(); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != dataDirMode {
		t.Errorf("got mode %v, %v, want %v", info.Mode(), err, dataDirMode)
	}
}

func TestADataDirectoryThatCannotBe(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openDataDir(filepath.Join(file, "below")); err == nil {
		t.Error("a directory below a file is opened")
	}
}
