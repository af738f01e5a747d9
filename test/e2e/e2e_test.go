package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"sluice/test/harness"
)

// TestScripts runs every script of testdata, each in a directory and with addresses of its own.
func TestScripts(t *testing.T) {
	t.Parallel()
	binary := harness.Binary(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"api":     api,
			"arrives": arrives,
			"exits":   exits,
			"listens": listens,
			"holds":   holds,
			"hop":     startHop,
			"reached": reached,
			"ready":   ready,
			"send":    send,
			"refuses": refuses,
			"shows":   shows,
			"traces":  traces,
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+env.Getenv("PATH"))
			address, err := harness.FreeAddress()
			if err != nil {
				return err
			}
			sink, err := harness.FreeAddress()
			if err != nil {
				return err
			}
			for name, value := range map[string]string{
				"API": address, "SMTP": harness.FreePool(t), "SINK": sink, "SINKPORT": harness.Port(sink),
				"SLUICE_ENDPOINT": "http://" + address, "AWS_REGION": harness.Region,
				"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(env.WorkDir, "data", "root-credentials"),
				"AWS_CONFIG_FILE":             os.DevNull,
			} {
				env.Setenv(name, value)
			}
			return nil
		},
	})
}
