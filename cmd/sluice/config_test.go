package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/ingress"
	"sluice/internal/smtpd"
)

// parseServe parses a serve command line without running it. It sets environment variables, so its tests are not parallel.
func parseServe(t *testing.T, environment map[string]string, args ...string) (Config, error) {
	t.Helper()
	for name, value := range environment {
		t.Setenv(name, value)
	}
	var line commandLine
	parser, err := newParser(&line, streams{}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"serve"}, args...)); err != nil {
		return Config{}, err
	}
	cfg := line.Serve.Config
	return cfg, cfg.settle()
}

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sluice.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaults(t *testing.T) {
	got, err := parseServe(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Data: "./sluice-data", API: "127.0.0.1:4579", SMTP: "127.0.0.1:2525-2599", MailDomain: "mail-manager-smtp.localhost",
		Profile: "default", LogLevel: "info", APIMaxConnections: 4096,
		MaxRecipients: 100, MaxConnections: 60000, MaxConnectionsPerSource: 20000, RelayConnections: 20,
		SessionDrain: Duration(30 * time.Second), RetryFirst: Duration(time.Minute), RetryMax: Duration(4 * time.Hour),
		GiveUp: Duration(120 * time.Hour), ProbeFirst: Duration(time.Minute), ProbeMax: Duration(30 * time.Minute),
		HeldFor: Duration(7 * 24 * time.Hour), HeldOctets: 4 << 30, ReverseDNS: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPrecedence(t *testing.T) {
	path := configFile(t, `
data = "/from/file"
api = "127.0.0.1:1"
max_recipients = 7
retry_first = "90s"
regions = ["us-east-1", "eu-central-1"]
api_insecure = true
[listeners.mx]
addresses = ["127.0.0.1:25"]
`)
	got, err := parseServe(t, map[string]string{"SLUICE_API": "127.0.0.1:2", "SLUICE_DATA": "/from/environment"},
		"--config", path, "--data", "/from/flag")
	if err != nil {
		t.Fatal(err)
	}
	if got.Data != "/from/flag" {
		t.Errorf("a flag does not win: data is %s", got.Data)
	}
	if got.API != "127.0.0.1:2" {
		t.Errorf("the environment does not win over the file: api is %s", got.API)
	}
	if got.MaxRecipients != 7 || got.RetryFirst != Duration(90*time.Second) || !got.APIInsecure {
		t.Errorf("the file does not win over the defaults: %+v", got)
	}
	if diff := cmp.Diff([]string{"us-east-1", "eu-central-1"}, got.Regions); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]Listener{"mx": {Addresses: []string{"127.0.0.1:25"}}}, got.Listeners); diff != "" {
		t.Error(diff)
	}
}

func TestConfigFileFromTheEnvironment(t *testing.T) {
	path := configFile(t, `log_level = "debug"`)
	got, err := parseServe(t, map[string]string{"SLUICE_CONFIG": path})
	if err != nil || got.LogLevel != "debug" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestRefusedSettings(t *testing.T) {
	tests := []struct {
		name string
		file string
		args []string
		want string // part of the error
	}{
		{"unknown key", "data = \"/x\"\ndta = \"/y\"\n", nil, `sluice.toml:2: unknown key "dta"`},
		{"unknown key of a listener", "[listeners.mx]\naddresses = [\"127.0.0.1:25\"]\nport = 25\n", nil, `sluice.toml:3: unknown key "listeners.mx.port"`},
		{"malformed file", "data = \n", nil, "sluice.toml:1"},
		{"wrong type", "max_recipients = \"many\"\n", nil, "sluice.toml:1"},
		{"length of time without a unit", "retry_first = \"90\"\n", nil, "length of time"},
		{"negative length of time", "retry_first = \"-1s\"\n", nil, "length of time"},
		{"flag with a file's key", "", []string{"--max_recipients", "3"}, "unknown flag"},
		{"listener without addresses", "[listeners.mx]\n", nil, `listener "mx" has no addresses`},
		{"listener with another word", "[listeners.mx]\naddresses = [\"127.0.0.1:25\"]\ntls = \"yes\"\n", nil, "starttls, implicit, none"},
		{"proxies by name", "[listeners.mx]\naddresses = [\"127.0.0.1:25\"]\nproxy_from = [\"proxy.example\"]\n", nil, "sluice.toml:3"},
		{"proxies of every kind", "[listeners.mx]\naddresses = [\"127.0.0.1:25\"]\nproxy_from = \"10.0.0.0/8\"\n", nil, "sluice.toml:3"},
		{"certificate of SMTP without a key", "", []string{"--smtp-cert", "a.pem"}, "go together"},
		{"key of SMTP without a certificate", "smtp_key = \"a.pem\"\n", nil, "go together"},
		{"further certificate without a key", "[[certificates]]\ncert = \"a.pem\"\nkey = \"b.pem\"\n[[certificates]]\ncert = \"c.pem\"\n", nil, "certificate 2"},
		{"further certificate without itself", "[[certificates]]\nkey = \"a.pem\"\n", nil, "certificate 1"},
		{"unknown key of a certificate", "[[certificates]]\nchain = \"a.pem\"\n", nil, `sluice.toml:2: unknown key "certificates.chain"`},
		{"negative greeting delay", "greeting_delay = \"-1s\"\n", nil, "length of time"},
		{"greeting delay without a unit", "", []string{"--greeting-delay", "5"}, "length of time"},
		{"greeting delay that clients do not wait for", "", []string{"--greeting-delay", "61s"}, "at most 1m0s"},
		{"URL of the API without a scheme", "", []string{"--api-url", "mail.example.com"}, "--api-url"},
		{"URL of the API of another scheme", "", []string{"--api-url", "ftp://mail.example.com"}, "--api-url"},
		{"URL of the API without a host", "api_url = \"https:///sluice\"\n", nil, "--api-url"},
		{"URL of the API with a query", "", []string{"--api-url", "https://mail.example.com/?a=b"}, "--api-url"},
		{"API beyond loopback", "", []string{"--api", "0.0.0.0:4579"}, "in clear"},
		{"API on every address", "", []string{"--api", ":4579"}, "in clear"},
		{"API on another address", "api = \"192.0.2.1:4579\"\n", nil, "in clear"},
		{"certificate without a key", "", []string{"--api-cert", "a.pem"}, "go together"},
		{"key without a certificate", "", []string{"--api-key", "a.pem"}, "go together"},
		{"unknown profile", "", []string{"--profile", "strict"}, "must be one of"},
		{"unknown limit", "[limits]\nrelay = 1\n", nil, `sluice.toml:2: unknown key "limits.relay"`},
		{"negative limit", "[limits]\nrelays = -1\n", nil, "[limits]: relays is -1"},
		{"limit that is no number", "[limits]\nrelays = \"many\"\n", nil, "sluice.toml:2"},
		{"account of eleven digits", "[accounts.11112222333]\nprofile = \"default\"\n", nil, "not twelve digits"},
		{"account by name", "[accounts.main]\nprofile = \"default\"\n", nil, "not twelve digits"},
		{"unknown profile of an account", "[accounts.111122223333]\nprofile = \"strict\"\n", nil, `profile = "strict" is none of`},
		{"negative limit of an account", "[accounts.111122223333.limits]\nrule_sets = -5\n", nil, "[accounts.111122223333]: rule_sets is -5"},
		{"unknown key of an account", "[accounts.111122223333]\nname = \"x\"\n", nil, `sluice.toml:2: unknown key "accounts.111122223333.name"`},
		{"negative rate", "[throttle]\nrate = -1.0\n", nil, "[throttle]: rate is -1"},
		{"rate that never comes", "[throttle]\nrate = 0.0001\n", nil, "neither 0 nor from one an hour"},
		{"rate that is no number", "[throttle]\nrate = nan\n", nil, "rate is NaN"},
		{"rate without end", "[throttle]\nrate = inf\n", nil, "rate is +Inf"},
		{"burst without a rate", "[throttle]\nburst = 5\n", nil, "burst is set, and rate is not"},
		{"burst too large", "[throttle]\nrate = 1\nburst = 100001\n", nil, "burst is 100001"},
		{"rate of no operation", "[throttle.operations]\nMakeRelay = { rate = 1 }\n", nil, `there is no operation "MakeRelay"`},
		{"operation without a rate", "[throttle.operations]\nCreateRelay = { burst = 1 }\n", nil, "operation CreateRelay has no rate"},
		{"operation with a negative burst", "[throttle.operations]\nCreateRelay = { rate = 1, burst = -1 }\n", nil, "operation CreateRelay: burst is -1"},
		{"negative rate of an account", "[accounts.111122223333.throttle]\nrate = -1\n", nil, "[accounts.111122223333]: rate is -1"},
		{"unknown level", "log_level = \"loud\"\n", nil, "must be one of"},
		{"bounces by way of a host without a port", "[bounces]\nroute = \"mx.example.net\"\n", nil, "route of [bounces]"},
		{"bounces by way of a port without a host", "[bounces]\nroute = \":25\"\n", nil, "route of [bounces]"},
		{"bounces by way of no port", "[bounces]\nroute = \"mx.example.net:smtp\"\n", nil, "route of [bounces]"},
		{"bounces by way of a port beyond all", "[bounces]\nroute = \"mx.example.net:65536\"\n", nil, "route of [bounces]"},
		{"bounces from nobody", "[bounces]\nfrom = \"a b@example.org\"\n", nil, "from of [bounces]"},
		{"bounces from nowhere", "[bounces]\nfrom = \"postmaster@\"\n", nil, "from of [bounces]"},
		{"bounces always but how", "[bounces]\nalways = \"yes\"\n", nil, "sluice.toml:2"},
		{"unknown key of bounces", "[bounces]\nway = \"r-1\"\n", nil, `sluice.toml:2: unknown key "bounces.way"`},
		{"senders in no domain", "[srs]\ndomain = \"not a domain\"\n", nil, "domain of [srs]"},
		{"authority of another kind", "[authorities]\ninside = [\"ca.pem\"]\n", nil, "Authorities"},
		{"analyzer of no add-on", "[analyzers.RSPAMD]\n", nil, "[analyzers.RSPAMD]: there is no such add-on"},
		{"analyzer in other letters", "[analyzers.spamhaus_dbl]\n", nil, "there is no such add-on"},
		{"unknown key of an analyzer", "[analyzers.SPAMHAUS_DBL]\nzone = \"x\"\n", nil, `sluice.toml:2: unknown key "analyzers.SPAMHAUS_DBL.zone"`},
		{"analyzer that is no table", "[analyzers]\nSPAMHAUS_DBL = true\n", nil, "sluice.toml:2"},
		{"no recipients", "", []string{"--max-recipients", "0"}, "at least 1"},
		{"negative connections", "", []string{"--max-connections=-1"}, "at least 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			args := test.args
			if test.file != "" {
				args = append(args, "--config", configFile(t, test.file))
			}
			_, err := parseServe(t, nil, args...)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestListeners(t *testing.T) {
	got, err := parseServe(t, nil, "--config", configFile(t, `
greeting_delay = "500ms"
[listeners.mx]
addresses = ["0.0.0.0:25", "[::]:25"]
proxy_from = ["192.0.2.7", "10.1.2.3/8", "2001:db8::/32", "::1"]
[listeners.submissions]
addresses = [":465"]
tls = "implicit"
[listeners.submission]
addresses = [":587"]
tls = "starttls"
[listeners.inside]
addresses = ["127.0.0.1:2500"]
tls = "none"
`))
	if err != nil {
		t.Fatal(err)
	}
	if got.GreetingDelay != Delay(500*time.Millisecond) {
		t.Errorf("the greeting waits %s", time.Duration(got.GreetingDelay))
	}
	for name, want := range map[string]ingress.ListenerConfig{
		"mx": {Addresses: []string{"0.0.0.0:25", "[::]:25"}, TLS: smtpd.TLSStart, ProxyFrom: []netip.Prefix{
			netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("10.0.0.0/8"),
			netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("::1/128"),
		}},
		"submissions": {Addresses: []string{":465"}, TLS: smtpd.TLSImplicit},
		"submission":  {Addresses: []string{":587"}, TLS: smtpd.TLSStart},
		"inside":      {Addresses: []string{"127.0.0.1:2500"}, TLS: smtpd.TLSNone},
	} {
		if listener := got.Listeners[name].ingress(); !reflect.DeepEqual(listener, want) {
			t.Errorf("%s: got %+v, want %+v", name, listener, want)
		}
	}
}

func TestNetworkRefuses(t *testing.T) {
	for _, text := range []string{"", "10.0.0.0/33", "10.0.0.0/", "10.0.0", "localhost", "10.0.0.1:25", "::ffff:10.0.0.1", "::ffff:10.0.0.0/104", "fe80::1%eth0", "fe80::%eth0/64"} {
		var n Network
		if err := n.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got %s, want an error", text, netip.Prefix(n))
		}
	}
}

func TestAPIBeyondLoopbackWhenItIsMeant(t *testing.T) {
	for _, args := range [][]string{
		{"--api", "0.0.0.0:4579", "--api-insecure"},
		{"--api", "0.0.0.0:4579", "--api-cert", "c.pem", "--api-key", "k.pem"},
		{"--api", "[::1]:4579"},
		{"--api", "localhost:4579"},
	} {
		if _, err := parseServe(t, nil, args...); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestEverySettingIsAFlagAnEnvironmentVariableAndAKey(t *testing.T) {
	var line commandLine
	parser, err := newParser(&line, streams{}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{"config": true}
	for field := range reflect.TypeFor[Config]().Fields() {
		keys[field.Tag.Get("toml")] = true
	}
	for _, command := range parser.Model.Children {
		for _, flag := range command.Flags {
			variable := "SLUICE_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
			if len(flag.Envs) != 1 || flag.Envs[0] != variable {
				t.Errorf("%s --%s has environment %v, want %s", command.Name, flag.Name, flag.Envs, variable)
			}
			if flag.Help == "" {
				t.Errorf("%s --%s has no help", command.Name, flag.Name)
			}
			if !flag.IsBool() && flag.PlaceHolder == "" {
				t.Errorf("%s --%s does not say what its value is", command.Name, flag.Name)
			}
			if key := strings.ReplaceAll(flag.Name, "-", "_"); command.Name == "serve" && !keys[key] {
				t.Errorf("--%s has no key %s", flag.Name, key)
			}
		}
	}
}
