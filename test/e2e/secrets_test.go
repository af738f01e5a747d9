package e2e

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/klauspost/compress/zstd"

	"sluice/internal/admin/client"
	"sluice/internal/certs/certtest"
	model "sluice/internal/mailmanager"
	"sluice/test/harness"
)

// The passwords of TestS40Secrets. None occurs anywhere else.
const (
	pointPassword = "Zebra-Quartz-7391-point"
	oldPassword   = "Zebra-Quartz-7391-earlier"
	pointSecret   = "Zebra-Quartz-7391-secret"
	wrongPassword = "Zebra-Quartz-7391-mistyped"
	relayUser     = "relay-user"
	relayPassword = "Zebra-Quartz-7391-relay"
)

// S40: passwords are set and used, right and wrong, by clients and for a relay that repeats what it was told and refuses. Then
// nothing that the server ever shows has any of them, in any form: its API, its admin API and commands, its log down to
// debug, its trace, its metrics, what it keeps on disk, and the stacks that it leaves when it crashes.
func TestS40Secrets(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	v.useClients(t)
	harness.Eventually(t, "the relay was given its password, and the trace tells what it said", func() bool {
		return v.asked() && strings.Contains(v.call(t, "/admin/"+client.OpGetTrace, "", client.Service, fmt.Sprintf(`{"Id":%q}`, v.messages[0])), "535")
	})
	shown := v.api(t)
	for name, text := range v.commands(t) {
		shown[name] = text
	}
	shown["/metrics"] = get(t, v.server.Endpoint+"/metrics")
	for name, text := range v.files(t) {
		shown[name] = text
	}
	if err := syscall.Kill(v.server.PID(), syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the server has crashed", func() bool { return strings.Contains(v.server.Log(), "goroutine ") && !alive(v.server.PID()) })
	shown["the log"] = v.server.Log()
	for name, text := range shown {
		for _, secret := range forms(v.points, v.keys) {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s has %q: %.200q", name, secret, text[max(at-100, 0):])
			}
		}
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// forms are the passwords and the secrets of access keys as they are, as JSON and URLs have them, and as AUTH PLAIN and LOGIN
// send them.
func forms(users, keys []string) []string {
	var all []string
	for _, password := range append([]string{pointPassword, oldPassword, pointSecret, wrongPassword, relayPassword}, keys...) {
		all = append(all, password, url.QueryEscape(password), hex.EncodeToString([]byte(password)))
		all = append(all, base64.RawStdEncoding.EncodeToString([]byte(password)), base64.RawURLEncoding.EncodeToString([]byte(password)))
		for _, user := range append(users, relayUser) {
			all = append(all, base64.RawStdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password)))
		}
	}
	return all
}

// vault is a server with secrets.
type vault struct {
	server   *harness.Server
	far      *hop
	ids      map[string]string // members of requests that name what there is
	points   []string          // users
	messages []string          // that wait for the relay
	keys     []string          // secrets of access keys
}

// newVault makes two ingress points that want passwords, one with its password in a secret, and a relay with a secret.
func newVault(t *testing.T) *vault {
	t.Helper()
	ca := certtest.New(t, "hop CA", nil)
	trusted := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(trusted, []byte(ca.PEM()), 0o600); err != nil {
		t.Fatal(err)
	}
	v := &vault{ids: map[string]string{}}
	v.far = (&hop{says: echoes, tls: &tls.Config{Certificates: []tls.Certificate{*ca.Issue("hop.example", certtest.Loopback)}}}).listen(t)
	v.server = harness.StartIn(t, []string{"SSL_CERT_FILE=" + trusted}, "--log-level", "debug", "--log-records",
		"ingress-application,traffic-policy-debug", "--retry-first", "200ms", "--retry-max", "1s", "--probe-first", "200ms", "--probe-max", "1s")
	api := v.server.MailManager()
	password, relaySecret := v.secrets(t)
	relay := createRelay(t, api, v.far.address, &types.RelayAuthenticationMemberSecretArn{Value: relaySecret})
	open := openPoint(t, api, "open")
	made, err := api.GetIngressPoint(t.Context(), &mailmanager.GetIngressPointInput{IngressPointId: &open})
	if err != nil {
		t.Fatal(err)
	}
	setRules(t, api, open, types.Rule{Actions: []types.RuleAction{relayBy(relay)}})
	for name, configuration := range map[string]types.IngressPointConfiguration{
		"own":    &types.IngressPointConfigurationMemberSmtpPassword{Value: oldPassword},
		"shared": &types.IngressPointConfigurationMemberSecretArn{Value: password},
	} {
		point, err := api.CreateIngressPoint(t.Context(), &mailmanager.CreateIngressPointInput{
			IngressPointName: &name, Type: types.IngressPointTypeAuth, TlsPolicy: types.TlsPolicyRequired,
			RuleSetId: made.RuleSetId, TrafficPolicyId: made.TrafficPolicyId, IngressPointConfiguration: configuration,
		})
		if err != nil {
			t.Fatal(err)
		}
		v.points = append(v.points, *point.IngressPointId)
		v.ids[name] = *point.IngressPointId
		v.server.Address(t, *point.IngressPointId)
	}
	own := v.ids["own"]
	if _, err := api.UpdateIngressPoint(t.Context(), &mailmanager.UpdateIngressPointInput{
		IngressPointId: &own, IngressPointConfiguration: &types.IngressPointConfigurationMemberSmtpPassword{Value: pointPassword},
	}); err != nil {
		t.Fatal(err)
	}
	v.ids["IngressPointId"], v.ids["RelayId"] = own, relay
	v.ids["RuleSetId"], v.ids["TrafficPolicyId"] = *made.RuleSetId, *made.TrafficPolicyId
	v.ids["ResourceArn"], v.ids["SecretId"] = *made.IngressPointArn, relaySecret
	v.useKeys(t)
	return v
}

// useKeys makes a user with two access keys, and signs with each, with one that is disabled, and with what is no key at all.
func (v *vault) useKeys(t *testing.T) {
	t.Helper()
	admin := v.server.Admin()
	first, err := admin.CreateUser(t.Context(), client.CreateUserInput{User: "jo"})
	if err != nil {
		t.Fatal(err)
	}
	second, err := admin.CreateAccessKey(t.Context(), "jo")
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.UpdateAccessKey(t.Context(), client.UpdateAccessKeyInput{User: "jo", AccessKeyId: second.AccessKeyId, Status: client.KeyInactive}); err != nil {
		t.Fatal(err)
	}
	v.keys = []string{first.SecretAccessKey, second.SecretAccessKey}
	for want, key := range map[string]aws.Credentials{
		"AccessDeniedException":       {AccessKeyID: first.AccessKeyId, SecretAccessKey: first.SecretAccessKey},
		"UnrecognizedClientException": {AccessKeyID: second.AccessKeyId, SecretAccessKey: second.SecretAccessKey},
		"InvalidSignatureException":   {AccessKeyID: first.AccessKeyId, SecretAccessKey: wrongPassword},
	} {
		user := *admin
		user.Credentials = key
		if _, err := user.GetStatus(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// secrets makes the secret of the ingress point and that of the relay.
func (v *vault) secrets(t *testing.T) (password, relay string) {
	t.Helper()
	id, key, _ := strings.Cut(v.server.UserPassword(), ":")
	api := secretsmanager.New(secretsmanager.Options{
		Region: harness.Region, BaseEndpoint: &v.server.Endpoint, RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider(id, key, ""),
	})
	var arns []string
	for i, text := range []string{
		fmt.Sprintf(`{"password":%q}`, pointSecret), fmt.Sprintf(`{"username":%q,"password":%q}`, relayUser, relayPassword),
	} {
		made, err := api.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String(fmt.Sprint("secret-", i)), SecretString: &text})
		if err != nil {
			t.Fatal(err)
		}
		arns = append(arns, *made.ARN)
	}
	return arns[0], arns[1]
}

// echoes repeats credentials in its replies, also that to AUTH, which it refuses.
func echoes(line string) string {
	verb, argument, _ := strings.Cut(line, " ")
	switch {
	case strings.EqualFold(verb, "AUTH"):
		_, initial, _ := strings.Cut(argument, " ")
		plain, _ := base64.StdEncoding.DecodeString(initial)
		return "535-5.7.8 " + initial + " is wrong\r\n535 5.7.8 so is " + strings.ReplaceAll(string(plain), "\x00", " ")
	case strings.EqualFold(verb, "EHLO") || strings.EqualFold(verb, "STARTTLS") || strings.EqualFold(verb, "QUIT"):
		return ""
	}
	return "450 4.7.1 not with " + relayPassword
}

// asked reports whether the relay was given credentials.
func (v *vault) asked() bool {
	lines, _ := v.far.taken()
	for _, line := range lines {
		if want := base64.StdEncoding.EncodeToString([]byte("\x00" + relayUser + "\x00" + relayPassword)); strings.Contains(line, want) {
			return true
		}
	}
	return false
}

// useClients logs in with every password there is, at both points, and sends a message where that is possible.
func (v *vault) useClients(t *testing.T) {
	t.Helper()
	for _, test := range []struct {
		point, mechanism, password string
		want                       int
	}{
		{"own", "PLAIN", pointPassword, 235}, {"own", "LOGIN", pointPassword, 235}, {"own", "LOGIN", oldPassword, 235},
		{"shared", "PLAIN", pointSecret, 235}, {"shared", "LOGIN", pointSecret, 235},
		{"own", "PLAIN", wrongPassword, 535}, {"shared", "LOGIN", wrongPassword, 535}, // few: each costs the next one time
	} {
		if got := v.logIn(t, v.ids[test.point], test.password, test.mechanism); got != test.want {
			t.Errorf("%s, %s with %s: got %d, want %d", test.point, test.mechanism, test.password, got, test.want)
		}
	}
}

// logIn authenticates over TLS, sends a message when that works, and returns the reply to the credentials. Before TLS it is
// clumsy: it sends its password in clear, and as a command.
func (v *vault) logIn(t *testing.T, user, password, mechanism string) int {
	t.Helper()
	conn, err := net.Dial("tcp", v.server.Address(t, user))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	encode := base64.StdEncoding.EncodeToString
	initial := encode([]byte("\x00" + user + "\x00" + password))
	text := textproto.NewConn(conn)
	say := func(line string) int {
		if line != "" {
			if err := text.PrintfLine("%s", line); err != nil {
				t.Fatal(err)
			}
		}
		code, _, err := text.ReadResponse(0)
		if err != nil {
			t.Fatalf("%.10s: %v", line, err)
		}
		return code
	}
	say("")
	say("EHLO client.example")
	say("AUTH PLAIN " + initial)
	say(password)
	if code := say("STARTTLS"); code != 220 {
		t.Fatalf("STARTTLS: %d", code)
	}
	text = textproto.NewConn(tls.Client(conn, &tls.Config{InsecureSkipVerify: true}))
	say("EHLO client.example")
	var code int
	if mechanism == "PLAIN" {
		code = say("AUTH PLAIN " + initial)
	} else {
		say("AUTH LOGIN")
		say(encode([]byte(user)))
		code = say(encode([]byte(password)))
	}
	if code == 235 {
		for _, line := range []string{"MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA"} {
			say(line)
		}
		if err := text.PrintfLine("Subject: x\r\n\r\nbody\r\n."); err != nil {
			t.Fatal(err)
		}
		if _, reply, err := text.ReadResponse(250); err == nil {
			v.messages = append(v.messages, reply[strings.LastIndexByte(reply, ' ')+1:])
		} else {
			t.Fatal(err)
		}
	}
	return code
}

// api is what every operation answers that reads, by its name.
func (v *vault) api(t *testing.T) map[string]string {
	t.Helper()
	answers := map[string]string{}
	input, err := json.Marshal(v.ids)
	if err != nil {
		t.Fatal(err)
	}
	for _, operation := range model.Operations() {
		if strings.HasPrefix(operation.Name, "Get") || strings.HasPrefix(operation.Name, "List") {
			answers[operation.Name] = v.call(t, "/", "MailManagerSvc."+operation.Name, "ses", string(input))
		}
	}
	for _, name := range []string{"ListSecrets", "DescribeSecret"} {
		answers[name] = v.call(t, "/", "secretsmanager."+name, "secretsmanager", fmt.Sprintf(`{"SecretId":%q}`, v.ids["SecretId"]))
	}
	for name, body := range map[string]string{
		client.OpListUsers: "{}", client.OpGetUser: `{"User":"jo"}`, client.OpListAccounts: "{}", client.OpGetStatus: "{}", client.OpListListeners: "{}", client.OpListLanes: "{}", client.OpListQueue: "{}",
		client.OpGetTrace: fmt.Sprintf(`{"Id":%q}`, v.messages[0]), client.OpShowMessage: fmt.Sprintf(`{"MessageId":%q}`, v.messages[0]),
	} {
		answers["admin "+name] = v.call(t, "/admin/"+name, "", client.Service, body)
	}
	for name, want := range map[string]string{
		"GetIngressPoint": v.ids["IngressPointId"], "GetRelay": v.ids["SecretId"], "ListIngressPoints": v.points[1], "DescribeSecret": v.ids["SecretId"],
		"GetRuleSet": v.ids["RelayId"], "admin " + client.OpGetUser: "AccessKeyId", "admin " + client.OpListQueue: v.messages[0], "admin " + client.OpShowMessage: v.messages[0],
	} {
		if !strings.Contains(answers[name], want) {
			t.Errorf("%s answers %s, without %s", name, answers[name], want)
		}
	}
	return answers
}

// call sends a signed request as it is, and returns the answer as it is.
func (v *vault) call(t *testing.T, path, target, service, body string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, v.server.Endpoint+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	if target != "" {
		request.Header.Set("X-Amz-Target", target)
	}
	id, key, _ := strings.Cut(v.server.UserPassword(), ":")
	sum := sha256.Sum256([]byte(body))
	hash := hex.EncodeToString(sum[:])
	request.Header.Set("X-Amz-Content-Sha256", hash)
	err = v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: id, SecretAccessKey: key}, request, hash, service, harness.Region, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// commands is what the subcommands print, by their names.
func (v *vault) commands(t *testing.T) map[string]string {
	t.Helper()
	printed := map[string]string{}
	for _, args := range [][]string{
		{"trace", v.messages[0]}, {"status"}, {"listeners"}, {"queue", "list", "--json"}, {"queue", "show", v.messages[0]}, {"queue", "lanes"},
		{"keys", "list"}, {"keys", "policies", "jo"}, {"keys", "accounts"},
	} {
		command := exec.CommandContext(t.Context(), harness.Binary(t), args...)
		command.Env = v.server.Environment()
		out, err := command.CombinedOutput()
		if err != nil {
			t.Errorf("sluice %v: %v: %s", args, err, out)
		}
		printed["sluice "+strings.Join(args, " ")] = string(out)
	}
	return printed
}

// files is what is on disk, by name: as it is, and the trace as zstd tools print it.
func (v *vault) files(t *testing.T) map[string]string {
	t.Helper()
	found, events := map[string]string{}, 0
	err := filepath.WalkDir(v.server.Data, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // the spool removes files as it goes
		}
		octets, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		found[path] = string(octets)
		if strings.HasSuffix(path, ".zst") {
			text := unpack(t, octets)
			found[path+" unpacked"] = text
			events += strings.Count(text, "\n")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if events == 0 {
		t.Error("there is no trace")
	}
	if audit := found[filepath.Join(v.server.Data, "audit", "audit.jsonl")]; !strings.Contains(audit, `"outcome":"InvalidSignatureException"`) || !strings.Contains(audit, "user/jo") {
		t.Errorf("the audit log lacks calls: %s", audit)
	}
	return found
}

// unpack reads a trace file as far as it was written. Our headers are frames that zstd skips.
func unpack(t *testing.T, octets []byte) string {
	t.Helper()
	const header, lengthAt = 20, 12
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	var all bytes.Buffer
	for len(octets) >= header {
		length := header + int(binary.LittleEndian.Uint32(octets[lengthAt:]))
		if length > len(octets) {
			break
		}
		text, err := decoder.DecodeAll(octets[header:length], nil)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
		octets = octets[length:]
	}
	return all.String()
}
