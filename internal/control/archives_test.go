package control_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
)

const day = 24 * time.Hour

func archiveRequest(name string) *mailmanager.CreateArchiveRequest {
	return &mailmanager.CreateArchiveRequest{ArchiveName: (*mailmanager.ArchiveNameString)(&name)}
}

func retention(period mailmanager.RetentionPeriod) *mailmanager.ArchiveRetention {
	return &mailmanager.ArchiveRetention{RetentionPeriod: &period}
}

func (p *plane) archive(name string) string {
	p.Helper()
	return string(*do[mailmanager.CreateArchiveResponse](p, "CreateArchive", archiveRequest(name)).ArchiveId)
}

func getArchive(p *plane, id string) *mailmanager.GetArchiveResponse {
	p.Helper()
	return do[mailmanager.GetArchiveResponse](p, "GetArchive", &mailmanager.GetArchiveRequest{ArchiveId: (*mailmanager.ArchiveIdString)(&id)})
}

func renameArchive(id, name string) *mailmanager.UpdateArchiveRequest {
	return &mailmanager.UpdateArchiveRequest{ArchiveId: (*mailmanager.ArchiveIdString)(&id), ArchiveName: (*mailmanager.ArchiveNameString)(&name)}
}

func retain(id string, period mailmanager.RetentionPeriod) *mailmanager.UpdateArchiveRequest {
	return &mailmanager.UpdateArchiveRequest{ArchiveId: (*mailmanager.ArchiveIdString)(&id), Retention: retention(period)}
}

func deleteArchive(id string) *mailmanager.DeleteArchiveRequest {
	return &mailmanager.DeleteArchiveRequest{ArchiveId: (*mailmanager.ArchiveIdString)(&id)}
}

func (p *plane) dropArchive(id string) {
	p.Helper()
	do[mailmanager.DeleteArchiveResponse](p, "DeleteArchive", deleteArchive(id))
}

// sweep runs the duties that recur every hour, once.
func (p *plane) sweep() {
	p.Helper()
	sweep := make(chan time.Time)
	go p.Maintain(p.Context(), nil, sweep)
	sweep <- time.Time{}
	sweep <- time.Time{} // taken when the one before was served
}

func TestArchiveReadsBackAsCreated(t *testing.T) {
	conform.Check(t, "F9")
	t.Parallel()
	p := newPlane(t)
	key := ptr(mailmanager.KmsKeyArn("arn:aws:kms:eu-west-1:111111111111:key/1234abcd")) // which need not exist (A25)
	tests := []struct {
		name  string
		asked *mailmanager.ArchiveRetention
		key   *mailmanager.KmsKeyArn
		want  mailmanager.RetentionPeriod
	}{
		{"by-default", nil, nil, mailmanager.RetentionPeriodSixMonths}, // Mail Manager, F9
		{"for-ever", retention(mailmanager.RetentionPeriodPermanent), key, mailmanager.RetentionPeriodPermanent},
		{"az", retention(mailmanager.RetentionPeriodThreeMonths), nil, mailmanager.RetentionPeriodThreeMonths},
	}
	created := time.Date(2026, 11, 22, 10, 0, 0, 123000000, time.UTC)
	var wantList []mailmanager.Archive
	for i, test := range tests {
		in := archiveRequest(test.name)
		in.Retention, in.KmsKeyArn = test.asked, test.key
		id := do[mailmanager.CreateArchiveResponse](p, "CreateArchive", in).ArchiveId
		if !regexp.MustCompile(`^a-[a-z2-7]{24}$`).MatchString(string(*id)) {
			t.Errorf("got id %q, want a- and 24 of a-z2-7", *id)
		}
		at := created.Add(time.Duration(i) * time.Second)
		want := &mailmanager.GetArchiveResponse{
			ArchiveId: id, ArchiveName: in.ArchiveName, ArchiveArn: ptr(mailmanager.ArchiveArn("arn:aws:ses:eu-west-1:111111111111:mailmanager-archive/" + *id)),
			ArchiveState: ptr(mailmanager.ArchiveStateActive), Retention: retention(test.want), KmsKeyArn: test.key,
			CreatedTimestamp: &at, LastUpdatedTimestamp: &at,
		}
		if diff := cmp.Diff(want, getArchive(p, string(*id))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		wantList = append(wantList, mailmanager.Archive{ArchiveId: id, ArchiveName: in.ArchiveName, ArchiveState: want.ArchiveState, LastUpdatedTimestamp: &at})
		p.clock.advance(time.Second)
	}
	list := do[mailmanager.ListArchivesResponse](p, "ListArchives", &mailmanager.ListArchivesRequest{})
	if diff := cmp.Diff(wantList, list.Archives); diff != "" || list.NextToken != nil {
		t.Errorf("list (-want +got):\n%s and the token %v", diff, list.NextToken)
	}
}

func TestUpdateArchiveChangesOnlyWhatIsGiven(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	id := p.archive("before")
	want := getArchive(p, id)
	steps := []struct {
		name   string
		in     *mailmanager.UpdateArchiveRequest
		change func()
	}{
		{"nothing", &mailmanager.UpdateArchiveRequest{ArchiveId: (*mailmanager.ArchiveIdString)(&id)}, func() {}},
		{"its own name", renameArchive(id, "before"), func() {}},
		{"name", renameArchive(id, "after"), func() { want.ArchiveName = ptr(mailmanager.ArchiveNameString("after")) }},
		{"retention", retain(id, mailmanager.RetentionPeriodTenYears), func() { want.Retention = retention(mailmanager.RetentionPeriodTenYears) }},
		{"and back", retain(id, mailmanager.RetentionPeriodSixMonths), func() { want.Retention = retention(mailmanager.RetentionPeriodSixMonths) }},
	}
	for i, step := range steps {
		p.clock.advance(time.Minute)
		do[mailmanager.UpdateArchiveResponse](p, "UpdateArchive", step.in)
		step.change()
		want.LastUpdatedTimestamp = ptr(want.CreatedTimestamp.Add(time.Duration(i+1) * time.Minute))
		if diff := cmp.Diff(want, getArchive(p, id)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	p.restart()
	if diff := cmp.Diff(want, getArchive(p, id)); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
}

func TestArchiveRefusals(t *testing.T) {
	t.Parallel()
	p := newPlane(t, limits(control.Limits{ActiveArchives: 2}))
	one, deleted := p.archive("one"), p.archive("deleted")
	p.dropArchive(deleted)
	p.archive("two")
	const unknown = "a-aaaaaaaaaaaaaaaaaaaaaaaa"
	get := func(id string) *mailmanager.GetArchiveRequest {
		return &mailmanager.GetArchiveRequest{ArchiveId: (*mailmanager.ArchiveIdString)(&id)}
	}
	tests := []struct {
		name, operation string
		in              any
		want            mailmanager.Code
		text            string
	}{
		{"a name that is taken, before the quota", "CreateArchive", archiveRequest("one"), mailmanager.CodeConflict, "one"},
		{"more than the quota", "CreateArchive", archiveRequest("three"), mailmanager.CodeServiceQuotaExceeded, "archive"},
		{"another's name", "UpdateArchive", renameArchive(one, "two"), mailmanager.CodeConflict, "two"},
		{"update a deleted one's name", "UpdateArchive", renameArchive(deleted, "again"), mailmanager.CodeConflict, "PENDING_DELETION"},
		{"update a deleted one's retention", "UpdateArchive", retain(deleted, mailmanager.RetentionPeriodPermanent), mailmanager.CodeConflict, "PENDING_DELETION"},
		{"get an unknown id", "GetArchive", get(unknown), mailmanager.CodeResourceNotFound, unknown},
		{"update an unknown id", "UpdateArchive", renameArchive(unknown, "x1"), mailmanager.CodeResourceNotFound, unknown},
		{"get by name", "GetArchive", get("one"), mailmanager.CodeValidation, "'archiveId'"},
		{"get by ARN", "GetArchive", get("arn:aws:ses:eu-west-1:1:mailmanager-archive/a-1"), mailmanager.CodeValidation, "'archiveId'"},
		{"get a short id", "GetArchive", get("a-abc"), mailmanager.CodeValidation, "'archiveId'"},
		{"get an id with an underscore", "GetArchive", get("a-aaaaaaaaaaaaaaaaaaaa_aaa"), mailmanager.CodeValidation, "'archiveId'"},
		{"get an address list's id", "GetArchive", get("al-aaaaaaaaaaaaaaaaaaaaaaaa"), mailmanager.CodeValidation, "'archiveId'"},
		{"update a malformed id", "UpdateArchive", renameArchive("A-aaaaaaaaaaaaaaaaaaaaaaaa", "x1"), mailmanager.CodeValidation, "'archiveId'"},
		{"delete a malformed id", "DeleteArchive", deleteArchive("a-"), mailmanager.CodeValidation, "'archiveId'"},
		{"a foreign page token", "ListArchives", &mailmanager.ListArchivesRequest{NextToken: ptr(mailmanager.PaginationToken("abc"))}, mailmanager.CodeValidation, "'nextToken'"},
	}
	before := do[mailmanager.ListArchivesResponse](p, "ListArchives", &mailmanager.ListArchivesRequest{})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantCode(t, p.refused(home, test.operation, test.in), test.want, test.text)
		})
	}
	if diff := cmp.Diff(before, do[mailmanager.ListArchivesResponse](p, "ListArchives", &mailmanager.ListArchivesRequest{})); diff != "" {
		t.Errorf("a refusal changed something (-want +got):\n%s", diff)
	}
}

// What the model says of names and retentions is checked before an operation is carried out.
func TestNamesOfArchives(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		ok   bool
	}{
		{"ab", true}, {"A-b_9", true}, {"9" + strings.Repeat("-", 62) + "9", true}, {"a-aaaaaaaaaaaaaaaaaaaaaaaa", true},
		{"a", false}, {"", false}, {"-ab", false}, {"ab_", false}, {"a b", false}, {"a.b", false}, {"é9", false},
		{"9" + strings.Repeat("-", 63) + "9", false}, {"deleted/a-aaaaaaaaaaaaaaaaaaaaaaaa", false}, {"ab\n", false},
	}
	for _, test := range tests {
		for operation, in := range map[string]any{"CreateArchive": archiveRequest(test.name), "UpdateArchive": renameArchive("a-aaaaaaaaaaaaaaaaaaaaaaaa", test.name)} {
			err := mailmanager.Validate(operationNamed(operation).Input, in)
			if (err == nil) != test.ok {
				t.Errorf("%s %q: got %v, want it taken: %v", operation, test.name, err, test.ok)
			}
		}
	}
	in := archiveRequest("ab")
	for _, wrong := range []*mailmanager.ArchiveRetention{{}, retention("FOREVER"), retention("")} {
		in.Retention = wrong
		wantCode(t, mailmanager.Validate(operationNamed("CreateArchive").Input, in), mailmanager.CodeValidation, "retention")
	}
}

// A deleted archive can be seen for 30 days, whatever its retention; its name and its place in the quota are free at once.
// Mail Manager, section 7; Mail Manager, A8 and A9.
func TestDeletedArchiveIsPendingForThirtyDays(t *testing.T) {
	conform.Check(t, "A8")
	t.Parallel()
	p := newPlane(t, limits(control.Limits{ActiveArchives: 1}))
	first := p.archive("mail")
	want := getArchive(p, first)
	p.clock.advance(time.Hour)
	p.dropArchive(first)
	want.ArchiveState, want.LastUpdatedTimestamp = ptr(mailmanager.ArchiveStatePendingDeletion), ptr(want.CreatedTimestamp.Add(time.Hour))
	second := p.archive("mail")
	p.clock.advance(time.Hour)
	p.dropArchive(first) // once more: it changes nothing
	wantCode(t, p.refused(home, "CreateArchive", archiveRequest("mail")), mailmanager.CodeConflict, "mail")
	wantCode(t, p.refused(home, "CreateArchive", archiveRequest("more")), mailmanager.CodeServiceQuotaExceeded)

	p.clock.advance(30*day - time.Hour - time.Second)
	for range 2 { // it survives a restart, and the sweep before its time
		if diff := cmp.Diff(want, getArchive(p, first)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		p.sweep()
		p.restart()
	}
	list := do[mailmanager.ListArchivesResponse](p, "ListArchives", &mailmanager.ListArchivesRequest{}).Archives
	if len(list) != 2 || *list[0].ArchiveId != *want.ArchiveId || *list[0].ArchiveState != *want.ArchiveState || *list[0].ArchiveName != "mail" {
		t.Errorf("got %s, want the deleted one and the other", text(t, list))
	}
	p.clock.advance(time.Second)
	p.sweep()
	wantCode(t, p.refused(home, "GetArchive", &mailmanager.GetArchiveRequest{ArchiveId: want.ArchiveId}), mailmanager.CodeResourceNotFound)
	p.dropArchive(first) // of an unknown one: no error
	if got := getArchive(p, second); *got.ArchiveState != mailmanager.ArchiveStateActive {
		t.Errorf("the other: got %s", text(t, got))
	}
}

// Mail Manager, A9.
func TestStrictRefusesASecondDeletion(t *testing.T) {
	conform.Check(t, "A9")
	t.Parallel()
	p := newPlane(t, profile(true))
	id := p.archive("mail")
	p.dropArchive(id)
	wantCode(t, p.refused(home, "DeleteArchive", deleteArchive(id)), mailmanager.CodeValidation, "PENDING_DELETION")
	p.dropArchive("a-aaaaaaaaaaaaaaaaaaaaaaaa")
}

// Mail Manager, A6: rules that name an archive do not keep it, by id, name or ARN (A23).
func TestArchivesOfRulesCanBeDeleted(t *testing.T) {
	conform.Check(t, "A6", "A23")
	t.Parallel()
	p := newPlane(t)
	id := p.archive("mail")
	arn := string(*getArchive(p, id).ArchiveArn)
	for i, target := range []string{id, "mail", arn, "not-there"} {
		in := ruleSetRequest(fmt.Sprint("rules-", i), mailmanager.RuleAction{Archive: &mailmanager.ArchiveAction{TargetArchive: ptr(mailmanager.NameOrArn(target))}})
		set := do[mailmanager.CreateRuleSetResponse](p, "CreateRuleSet", in)
		if got := *getRuleSet(p, string(*set.RuleSetId)).Rules[0].Actions[0].Archive.TargetArchive; string(got) != target {
			t.Errorf("got %s, want %s as it was sent", got, target)
		}
	}
	p.dropArchive(id)
}

// Mail Manager, section 10: one retention change a week.
func TestStrictTakesOneRetentionChangeAWeek(t *testing.T) {
	t.Parallel()
	p := newPlane(t, profile(true))
	id := p.archive("mail")
	one, two := mailmanager.RetentionPeriodOneYear, mailmanager.RetentionPeriodTwoYears
	steps := []struct {
		name string
		wait time.Duration
		in   *mailmanager.UpdateArchiveRequest
		ok   bool
	}{
		{"the one it has", 0, retain(id, mailmanager.RetentionPeriodSixMonths), true},
		{"the first", 0, retain(id, one), true},
		{"a second", 0, retain(id, two), false},
		{"the one it has", 0, retain(id, one), true},
		{"a name", 0, renameArchive(id, "post"), true},
		{"within a week", 7*day - time.Second, retain(id, two), false},
		{"and back to the first", 0, retain(id, mailmanager.RetentionPeriodSixMonths), false},
		{"after a week", time.Second, retain(id, two), true},
		{"a second after that", 0, retain(id, one), false},
	}
	for _, step := range steps {
		p.clock.advance(step.wait)
		p.restart() // what was changed when is kept
		_, err := p.call(home, "UpdateArchive", step.in)
		if step.ok && err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
		if !step.ok {
			wantCode(t, err, mailmanager.CodeServiceQuotaExceeded, "archive_retention_changes_per_week")
		}
	}
	if got := *getArchive(p, id).Retention.RetentionPeriod; got != two {
		t.Errorf("got %s, want %s", got, two)
	}
}
