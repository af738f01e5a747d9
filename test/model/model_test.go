package model

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/awsapi"
	"sluice/internal/conform"
	"sluice/internal/mailmanager"
	"sluice/test/harness"
	"sluice/test/wire"
)

// run is the requests of one operation in one protocol, in a region of their own: what others make there is not seen.
type run struct {
	testing.TB
	api    *wire.Client
	values map[string]value
	due    bool // the operation is not implemented
	count  *atomic.Int64
}

// TestModel sends every request that the model makes of every operation.
func TestModel(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A25", "A27", "D3")
	config := filepath.Join(t.TempDir(), "sluice.toml")
	if err := os.WriteFile(config, []byte("[analyzers.SPAMHAUS_DBL]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := harness.Start(t, "--log-level", "error", "--config", config)
	ca := authority(t)
	var count atomic.Int64
	t.Cleanup(func() { t.Logf("%d requests", count.Load()) })
	for i, operation := range conform.Operations() {
		for _, protocol := range wire.Protocols() {
			t.Run(operation.Name+"/"+string(protocol), func(t *testing.T) {
				t.Parallel()
				region := fmt.Sprintf("operation-%d-%s", i+1, protocol)
				r := &run{TB: t, api: server.Wire(region, protocol), values: plain(ca), due: operation.Due != "", count: &count}
				r.operation(operation.Name)
			})
		}
	}
}

// operation sends the requests of an operation, one after another.
func (r *run) operation(name string) {
	operation, ok := mailmanager.Lookup(name)
	if !ok {
		r.Fatalf("the model has no %s", name)
	}
	r.prepare(operation)
	g := &generator{values: r.values}
	for _, request := range g.generate(operation.Input, adapter(name, r.values)) {
		r.count.Add(1)
		output, err := r.call(name, request.input)
		if wrong := r.judge(name, request, err); wrong != "" {
			r.Errorf("%s: %s: %s", request.path, request.what, wrong)
		}
		if err == nil {
			r.check(operation, output)
			r.undo(name, output)
		}
	}
}

// call calls an operation, and again while what it is about is on its way from one state to another (A20).
func (r *run) call(name string, input map[string]any) (output map[string]any, err error) {
	harness.Eventually(r, "what "+name+" is about has come to rest", func() bool {
		output, err = r.api.Call(r.Context(), name, input)
		var refusal *wire.Refusal
		return !errors.As(err, &refusal) || refusal.Code != string(mailmanager.CodeConflict) || !passing.MatchString(refusal.Message)
	})
	return output, err
}

// passing are the states that end by themselves.
var passing = regexp.MustCompile(`is (PROVISIONING|UPDATING|DEPROVISIONING)`)

// firstFixture numbers the samples that fixtures are made of, so that they have no name that a request has.
const firstFixture = 1 << 20

// prepare makes the resources that the inputs of an operation may name.
func (r *run) prepare(operation *mailmanager.Operation) {
	shapes := needed(operation)
	g := &generator{values: r.values, sampler: sampler{made: firstFixture}}
	for _, f := range fixtures {
		if !shapes[f.shape] || r.due {
			continue
		}
		creating, _ := mailmanager.Lookup(f.operation)
		input := g.minimal(creating.Input).(map[string]any)
		maps.Copy(input, f.with)
		if f.shape == "MtlsPoint" {
			input["IngressPointConfiguration"] = map[string]any{"TlsAuthConfiguration": map[string]any{"TrustStore": map[string]any{"CAContent": r.values["CAContent"](nil)}}}
		}
		output, err := r.api.Call(r.Context(), f.operation, input)
		if err != nil {
			r.Fatal(err)
		}
		id := output[cmp.Or(f.member, f.shape)]
		r.values[f.shape] = fixed(id)
		if f.arn != "" {
			r.values[f.arnShape] = fixed(fmt.Sprintf(f.arn, r.api.Region, id))
		}
	}
}

// judge says what is wrong with an answer, if anything.
func (r *run) judge(operation string, request request, err error) string {
	var refusal *wire.Refusal
	if err != nil && !errors.As(err, &refusal) {
		return err.Error()
	}
	got := "success"
	if refusal != nil {
		got = fmt.Sprintf("%d %s %q", refusal.Status, refusal.Code, refusal.Message)
	}
	switch {
	case request.want == violating && isRefusal(refusal, mailmanager.CodeValidation, "'"+request.path+"'"),
		request.want == malformed && isRefusal(refusal, mailmanager.CodeSerialization, memberOf(request.path)),
		request.want == allowed && r.due && isRefusal(refusal, mailmanager.CodeUnknownOperation, ""),
		request.want == allowed && !r.due && refusal == nil:
		return ""
	case request.want == allowed && refusal != nil && excused(operation, request.path, refusal):
		return ""
	default:
		return fmt.Sprintf("got %s, want %s", got, request.want)
	}
}

func isRefusal(refusal *wire.Refusal, code mailmanager.Code, text string) bool {
	return refusal != nil && refusal.Code == string(code) && strings.Contains(refusal.Message, text)
}

// excused reports whether the tables have a reason for a refusal.
func excused(operation, path string, refusal *wire.Refusal) bool {
	return slices.ContainsFunc(reasons, func(why reason) bool {
		return whole(why.operations, operation) && whole(why.path, path) && slices.Contains(why.codes, mailmanager.Code(refusal.Code))
	})
}

// memberOf is the member that a path ends in, as it is spelt in documents: without the elements of lists behind it.
func memberOf(path string) string {
	parts := strings.Split(path, ".")
	for len(parts) > 2 && parts[len(parts)-1] == "member" {
		parts = parts[:len(parts)-2]
	}
	last := parts[len(parts)-1]
	return strings.ToUpper(last[:1]) + last[1:]
}

// check holds an output against its shape.
func (r *run) check(operation *mailmanager.Operation, output map[string]any) {
	document, err := json.Marshal(wire.Plain(output))
	if err != nil {
		r.Fatal(err)
	}
	value := operation.NewOutput()
	if err := errors.Join(awsapi.DecodeJSON(document, operation.Output, value), mailmanager.Validate(operation.Output, value)); err != nil {
		r.Errorf("%s answers %s: %v", operation.Name, document, err)
	}
}

// undo deletes what an operation has created, so that its name is free again.
func (r *run) undo(operation string, output map[string]any) {
	kind, created := strings.CutPrefix(operation, "Create")
	deleting, ok := mailmanager.Lookup("Delete" + kind)
	if !created || !ok {
		return
	}
	input := map[string]any{}
	for _, member := range deleting.Input.Members {
		input[member.Name] = output[member.Name]
	}
	gone := func() bool {
		_, err := r.api.Call(context.WithoutCancel(r.Context()), deleting.Name, input)
		return err == nil
	}
	harness.Eventually(r, "what "+operation+" made is deleted", gone) // a point must be ACTIVE first
}

// authority is a certificate authority's certificate.
func authority(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "model"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
