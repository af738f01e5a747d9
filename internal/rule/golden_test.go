package rule

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"sluice/internal/conform"
	"sluice/internal/mailmanager"
	"sluice/internal/message"
)

var rewrite = flag.Bool("rewrite", false, "write what was decided into testdata, to be reviewed as a diff")

// given is what a golden decision begins with, beside its rules and its message.
type given struct {
	ReversePath string               `json:"reversePath"`
	Hello       string               `json:"hello"`
	Client      netip.Addr           `json:"client"`
	TLS         bool                 `json:"tls"`
	Certificate *message.Certificate `json:"certificate"`
	Recipients  []string             `json:"recipients"`
	Lists       map[string][]string  `json:"lists"`    // the members of address lists, by ARN
	Outcomes    map[string]string    `json:"outcomes"` // "rule.action" → the outcome of its steps; QUEUED when it is not there
}

// decided is what the engine made of it.
type decided struct {
	Steps    []string
	Unrouted []string
	Reasons  []Reason
}

// Each file of testdata has rules, what is known of a message, its content, and the decision with its reasons.
func TestGoldenDecisions(t *testing.T) {
	t.Parallel()
	conform.Check(t, "D1", "D7")
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil || len(archive.Files) != 4 {
				t.Fatalf("got %d parts, %v; want rules, given, message, decided", len(archive.Files), err)
			}
			got := decide(t, archive.Files)
			part := &archive.Files[3]
			if *rewrite {
				part.Data = got
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(part.Data), string(got)); diff != "" {
				t.Errorf("%s; run with -rewrite and review", diff)
			}
		})
	}
}

func decide(t *testing.T, parts []txtar.File) []byte {
	t.Helper()
	var rules []mailmanager.Rule
	var in given
	if err := json.Unmarshal(parts[0].Data, &rules); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(parts[1].Data, &in); err != nil {
		t.Fatal(err)
	}
	content := bytes.ReplaceAll(parts[2].Data, []byte("\n"), []byte("\r\n"))
	header, _ := message.CutHeader(content)
	f := &Facts{
		ReversePath: in.ReversePath, Hello: in.Hello, Client: in.Client, TLS: in.TLS, Certificate: in.Certificate, Size: int64(len(content)), Header: header,
	}
	all := lists{}
	for arn, members := range in.Lists {
		all[arn] = listOf(t, members...)[listARN]
	}
	f.Lists = all
	kinds := map[string]OutcomeKind{}
	for step, name := range in.Outcomes {
		for kind := range outcomeNames {
			if outcomeNames[kind] == name {
				kinds[step] = OutcomeKind(kind)
			}
		}
	}
	out := evaluate(compile(t, rules...), f, recipientsOf(in.Recipients...), outcomeFrom(kinds))
	text, err := json.MarshalIndent(decided{steps(out.Steps), steps(out.Unrouted), out.Reasons}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}
