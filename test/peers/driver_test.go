package peers

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sluice/test/harness"
	"sluice/test/peers/peer"
)

// program is a client in another language: it reads a call a line and writes an answer a line.
type program struct {
	require func(t *testing.T) // skips the test when what it needs is not there
	args    []string
}

func javaScript(protocol string) program {
	return program{
		require: func(t *testing.T) {
			peer.Require(t, "node", "apt-get install nodejs npm")
			peer.RequirePath(t, filepath.Join("js", "node_modules"), "npm ci --prefix test/peers/js")
		},
		args: []string{"node", filepath.Join("js", "driver.mjs"), protocol},
	}
}

var boto3 = program{
	require: func(t *testing.T) {
		peer.Optional(t, "pip install boto3", "python3", "-c", `import boto3; boto3.client("mailmanager", region_name="us-east-1")`)
	},
	args: []string{"python3", filepath.Join("python", "boto3_driver.py")},
}

// awsCLI runs the AWS CLI within one process: to start it for every call would take most of the test's time.
var awsCLI = program{
	require: func(t *testing.T) {
		peer.Optional(t, "pip install awscli", "python3", "-c", `import awscli.clidriver, botocore.session; botocore.session.get_session().get_service_model("mailmanager")`)
	},
	args: []string{"python3", filepath.Join("python", "awscli_driver.py")},
}

// driver is a running program.
type driver struct {
	name string
	in   io.Writer
	out  *bufio.Reader
}

func startDriver(p program) func(*testing.T, *harness.Server, string) client {
	return func(t *testing.T, server *harness.Server, region string) client {
		t.Helper()
		p.require(t)
		command := exec.Command(p.args[0], p.args[1:]...)
		command.Env = append(server.Environment(), "AWS_REGION="+region, "AWS_DEFAULT_REGION="+region,
			"AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED=true", "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1")
		command.Stderr = os.Stderr
		in, err := command.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			in.Close() // it ends with its input
			if err := command.Wait(); err != nil {
				t.Errorf("%s: %v", p.args, err)
			}
		})
		return &driver{name: p.args[1], in: in, out: bufio.NewReader(out)}
	}
}

func (d *driver) call(_ context.Context, c call) answer {
	text, err := json.Marshal(c)
	if err != nil {
		return answer{Broken: err.Error()}
	}
	if _, err := d.in.Write(append(text, '\n')); err != nil {
		return answer{Broken: fmt.Sprintf("tell %s: %v", d.name, err)}
	}
	line, err := d.out.ReadBytes('\n')
	if err != nil {
		return answer{Broken: fmt.Sprintf("hear %s: %v", d.name, err)}
	}
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return answer{Broken: fmt.Sprintf("%s said %q: %v", d.name, line, err)}
	}
	return a
}
