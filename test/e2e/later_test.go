package e2e

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"sluice/internal/admin/client"
	"sluice/test/harness"
)

// TestOperationsOfArchivedMail holds that the operations of what an archive holds, which come with the archive itself, check
// their inputs as the API's model says, and then answer that they are not there.
func TestOperationsOfArchivedMail(t *testing.T) {
	t.Parallel()
	const (
		archive     = `"ArchiveId":"a-aaaaaaaaaaaaaaaaaaaaaaaa"`
		span        = `,"FromTimestamp":1790000000,"ToTimestamp":1790003600.5`
		destination = `,"ExportDestinationConfiguration":{"S3":{"S3Location":"s3://bucket/prefix"}}`
		subject     = `{"StringExpression":{"Evaluate":{"Attribute":"SUBJECT"},"Operator":"CONTAINS","Values":["x"]}}`
	)
	long := `"` + strings.Repeat("x", 65) + `"`
	tests := []struct {
		operation string
		good      string
		bad       []string
	}{
		{"GetArchiveExport", `{"ExportId":"e"}`, []string{`{}`, `{"ExportId":""}`, `{"ExportId":` + long + `}`}},
		{"GetArchiveMessage", `{"ArchivedMessageId":"m"}`, []string{`{}`, `{"ArchivedMessageId":null}`}},
		{"GetArchiveMessageContent", `{"ArchivedMessageId":"m"}`, []string{`{}`, `{"ArchivedMessageId":null}`}},
		{"GetArchiveSearch", `{"SearchId":"s"}`, []string{`{}`, `{"SearchId":""}`, `{"SearchId":` + long + `}`}},
		{"GetArchiveSearchResults", `{"SearchId":"s"}`, []string{`{}`, `{"SearchId":""}`, `{"SearchId":` + long + `}`}},
		{"ListArchiveExports", `{` + archive + `}`, []string{`{}`, `{"ArchiveId":"x"}`, `{` + archive + `,"PageSize":51}`, `{` + archive + `,"NextToken":""}`}},
		{"ListArchiveSearches", `{` + archive + `}`, []string{`{}`, `{"ArchiveId":"a-!"}`, `{` + archive + `,"PageSize":0}`, `{` + archive + `,"NextToken":""}`}},
		{"StartArchiveExport", `{` + archive + span + destination + `}`, []string{
			`{}`, `{` + archive + span + `}`, `{` + archive + destination + `}`,
			`{` + archive + span + `,"ExportDestinationConfiguration":{"S3":{"S3Location":"bucket"}}}`,
		}},
		{"StartArchiveSearch", `{` + archive + span + `,"MaxResults":0,"Filters":{"Include":[` + subject + `]}}`, []string{
			`{` + archive + span + `}`, `{` + archive + `,"MaxResults":1}`, `{` + archive + span + `,"MaxResults":1001}`, `{` + archive + span + `,"MaxResults":-1}`,
			`{` + archive + span + `,"MaxResults":1,"Filters":{"Unless":[` + strings.Replace(subject, "CONTAINS", "EQUALS", 1) + `]}}`,
			`{` + archive + span + `,"MaxResults":1,"Filters":{"Include":[` + strings.Repeat(subject+`,`, 10) + subject + `]}}`,
		}},
		{"StopArchiveExport", `{"ExportId":"e"}`, []string{`{}`, `{"ExportId":""}`, `{"ExportId":` + long + `}`}},
		{"StopArchiveSearch", `{"SearchId":"s"}`, []string{`{}`, `{"SearchId":""}`, `{"SearchId":` + long + `}`}},
	}
	api := harness.Start(t).Admin()
	for _, test := range tests {
		for _, in := range test.bad {
			wantRefusal(t, api, test.operation, in, "ValidationException", http.StatusBadRequest)
		}
		wantRefusal(t, api, test.operation, test.good, "UnknownOperationException", http.StatusNotImplemented)
	}
}

func wantRefusal(t *testing.T, api *client.Client, operation, in, code string, status int) {
	t.Helper()
	answer, err := api.MailManager(t.Context(), operation, json.RawMessage(in))
	var refusal *client.Error
	if !errors.As(err, &refusal) || refusal.Code != code || refusal.Status != status {
		t.Errorf("%s %s: got %s, %v, want %s with the status %d", operation, in, answer, err, code, status)
	}
}
