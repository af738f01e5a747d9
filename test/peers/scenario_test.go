package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sluice/internal/conform"
	"sluice/test/harness"
)

// A scenario is calls that build on each other, as a list in testdata/scenarios. Every client makes them, in a region of
// its own, so that a new operation is a few lines of JSON.

// step is one call, and what is to come of it; or a file that is put where a signed URL says, as curl -T would.
type step struct {
	Put      string            `json:"put"`     // the URL, in place of a call
	Content  string            `json:"content"` // of the file
	Rows     int               `json:"rows"`    // further rows of it, each an address of its own
	What     string            `json:"what"`    // when it is not plain
	Call     string            `json:"call"`
	Input    map[string]any    `json:"input"`
	PageSize int               `json:"page_size"` // not 0: by the client's paginator, all pages
	Keep     map[string]string `json:"keep"`      // names, and the members of the output that they stand for
	Want     map[string]any    `json:"want"`      // part of the output; what is null must be absent
	Refused  string            `json:"refused"`   // the error's code, in place of an output
	Until    bool              `json:"until"`     // called again until it is as wanted
}

// call is what a client is asked.
type call struct {
	Operation string         `json:"operation"`
	Input     map[string]any `json:"input"`
	PageSize  int            `json:"page_size,omitempty"`
}

// answer is what a client says: one output, or one for each page, or the code of an error of the API, or what went wrong
// otherwise.
type answer struct {
	Outputs []map[string]any `json:"outputs"`
	Refused string           `json:"refused"`
	Broken  string           `json:"broken"`
}

// client makes calls.
type client interface {
	call(ctx context.Context, c call) answer
}

// clients are those that there may be. Each is started for one region, and skips the test when it is not installed.
var clients = []struct {
	name  string
	start func(t *testing.T, server *harness.Server, region string) client
}{
	{"go", startGoSDK},
	{"js-json", startDriver(javaScript("json"))},
	{"js-cbor", startDriver(javaScript("cbor"))},
	{"boto3", startDriver(boto3)},
	{"cli", startDriver(awsCLI)},
}

// play lets every client make the calls of a scenario.
func play(t *testing.T, scenario string, args ...string) {
	t.Helper()
	steps := readScenario(t, scenario)
	server := harness.Start(t, append(args, "--log-level", "error")...)
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := &player{client: c.start(t, server, "scenario-"+c.name), names: map[string]any{}}
			for i, s := range steps {
				p.step(t, fmt.Sprintf("step %d, %s %s", i+1, s.Call, s.What), s)
			}
		})
	}
}

func readScenario(t *testing.T, name string) (steps []step) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "scenarios", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&steps); err != nil {
		t.Fatalf("scenario %s: %v", name, err)
	}
	return steps
}

// player is one client in the middle of a scenario.
type player struct {
	client client
	names  map[string]any // what was kept
}

func (p *player) step(t *testing.T, title string, s step) {
	t.Helper()
	if s.Put != "" {
		put(t, p.resolve(s.Put).(string), s.Content+rows(s.Rows))
		return
	}
	c := call{Operation: s.Call, Input: p.resolve(s.Input).(map[string]any), PageSize: s.PageSize}
	wrong := ""
	try := func() bool {
		wrong = p.judge(s, p.client.call(t.Context(), c))
		return wrong == ""
	}
	if s.Until {
		t.Cleanup(func() {
			if t.Failed() && wrong != "" {
				t.Logf("%s: last %s", title, wrong)
			}
		})
		harness.Eventually(t, title, try)
	} else if !try() {
		t.Fatalf("%s: %s", title, wrong)
	}
}

// rows are rows of a file that fills an address list.
func rows(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "user%d@example.com\n", i)
	}
	return text.String()
}

// put puts a file.
func put(t *testing.T, url, content string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("put %s: %s", url, response.Status)
	}
}

// judge says what is wrong with an answer, and keeps of it what is to be kept.
func (p *player) judge(s step, a answer) string {
	switch {
	case a.Broken != "":
		return a.Broken
	case a.Refused != s.Refused:
		return fmt.Sprintf("got %q %v, want %q", a.Refused, a.Outputs, s.Refused)
	case s.Refused != "":
		return ""
	}
	output, wrong := merge(a.Outputs, s.PageSize)
	if wrong != "" {
		return wrong
	}
	if wrong := p.differ(s.Call, s.Want, output); wrong != "" {
		return wrong
	}
	for name, member := range s.Keep {
		if p.names[name] = output[member]; output[member] == nil {
			return "the output has no " + member
		}
	}
	return ""
}

// merge makes one output of pages: the lists of all of them.
func merge(pages []map[string]any, size int) (output map[string]any, wrong string) {
	output = map[string]any{}
	for _, page := range pages {
		for name, member := range page {
			list, ok := member.([]any)
			if ok && len(pages) > 1 && len(list) > size { // the AWS CLI puts its pages together

				return nil, fmt.Sprintf("a page has %d elements, at most %d", len(list), size)
			}
			if before, ok2 := output[name].([]any); ok && ok2 {
				member = slices.Concat(before, list)
			}
			output[name] = member
		}
	}
	return output, ""
}

// resolve puts what was kept in place of names such as $relay.
func (p *player) resolve(document any) any {
	switch value := document.(type) {
	case map[string]any:
		resolved := make(map[string]any, len(value))
		for name, member := range value {
			resolved[name] = p.resolve(member)
		}
		return resolved
	case []any:
		resolved := make([]any, len(value))
		for i, element := range value {
			resolved[i] = p.resolve(element)
		}
		return resolved
	case string:
		if name, ok := strings.CutPrefix(value, "$"); ok {
			return p.names[name]
		}
	}
	return document
}

// differ says where a document is not as wanted. Members that are not named may be anything, and null stands for none.
func (p *player) differ(path string, want, got any) string {
	switch want := p.resolve(want).(type) {
	case map[string]any:
		members, ok := got.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if wrong := p.differ(path+"."+name, want[name], members[name]); wrong != "" {
				return wrong
			}
		}
		if ok || len(want) == 0 && path != "" {
			return ""
		}
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			break
		}
		for i := range want {
			if wrong := p.differ(fmt.Sprintf("%s.%d", path, i+1), want[i], list[i]); wrong != "" {
				return wrong
			}
		}
		return ""
	case string:
		if fits(want, got) {
			return ""
		}
	default:
		if want == got {
			return ""
		}
	}
	return fmt.Sprintf("%s: got %v, want %v", path, got, want)
}

// fits reports whether a value is a text that is wanted. Text in slashes stands for what matches it, and @instant for any
// instant, as text or in seconds since 1970.
func fits(want string, got any) bool {
	text, isText := got.(string)
	if want == "@instant" {
		_, isNumber := got.(float64)
		return isNumber || strings.HasPrefix(text, "20")
	}
	if pattern, ok := strings.CutPrefix(want, "/"); ok {
		return isText && regexp.MustCompile(strings.TrimSuffix(pattern, "/")).MatchString(text)
	}
	return isText && text == want
}

// TestEveryOperationIsPlayed holds that each operation that is implemented is in a scenario, and each list with its paginator.
func TestEveryOperationIsPlayed(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "scenarios", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	played, paged := map[string]bool{}, map[string]bool{}
	for _, file := range files {
		for _, s := range readScenario(t, strings.TrimSuffix(filepath.Base(file), ".json")) {
			if s.Refused == "" && s.Put == "" {
				played[s.Call], paged[s.Call] = true, paged[s.Call] || s.PageSize > 0
			}
		}
	}
	for _, op := range conform.Operations() {
		_, pages := paginators[op.Name]
		if op.Due == "" && (!played[op.Name] || pages && !paged[op.Name]) {
			t.Errorf("%s: played %v, by pages %v", op.Name, played[op.Name], paged[op.Name])
		}
	}
}
