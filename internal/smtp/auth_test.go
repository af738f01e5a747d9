package smtp

import (
	"encoding/base64"
	"strings"
	"testing"
)

func TestParseAuth(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in, mechanism, initial string
		hasInitial                   bool
	}{
		{"mechanism", "LOGIN", "LOGIN", "", false},
		{"any case", "plain", "PLAIN", "", false},
		{"space at the end", "PLAIN ", "PLAIN", "", false},
		{"initial response", "PLAIN AGFubgBzZWNyZXQ=", "PLAIN", "\x00ann\x00secret", true},
		{"spaces", "plain   AGFubgBzZWNyZXQ= ", "PLAIN", "\x00ann\x00secret", true},
		{"empty initial response", "EXTERNAL =", "EXTERNAL", "", true},
		{"all characters", "scram_sha-256 +/8=", "SCRAM_SHA-256", "\xfb\xff", true},
		{"longest mechanism", strings.Repeat("M", 20), strings.Repeat("M", 20), "", false},
		{"longest response", "PLAIN " + strings.Repeat("A", 12_288), "PLAIN", strings.Repeat("\x00", 9_216), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			mechanism, initial, has, refusal := ParseAuth(test.in)
			if refusal != nil || mechanism != test.mechanism || string(initial) != test.initial || has != test.hasInitial {
				t.Errorf("got %q, %q, %v, %v, want %q, %q, %v", mechanism, initial, has, refusal, test.mechanism, test.initial, test.hasInitial)
			}
		})
	}
}

func TestParseAuthRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     *Reply
		cause    error
	}{
		{"nothing", "", badKeyword, errMechanism},
		{"space first", " PLAIN", badKeyword, errMechanism},
		{"mechanism too long", strings.Repeat("M", 21), badKeyword, errMechanism},
		{"mechanism with a dot", "PLAIN.", badKeyword, errMechanism},
		{"mechanism outside ASCII", "PLAſN", badKeyword, errMechanism},
		{"S7 control", "PLAIN\x00", badKeyword, errMechanism},
		{"two arguments", "PLAIN AGEAYg== x", badResponse, errBase64},
		{"no base64", "PLAIN a.b", badResponse, errBase64},
		{"cancelled at once", "PLAIN *", badResponse, errBase64},
		{"base64 too long", "PLAIN " + strings.Repeat("A", 12_292), responseTooLong, errResponse},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			mechanism, initial, has, refusal := ParseAuth(test.in)
			checkRefusal(t, refusal, test.want, test.cause)
			if mechanism != "" || initial != nil || has {
				t.Errorf("got %q, %q, %v beside the refusal", mechanism, initial, has)
			}
		})
	}
}

func TestDecodeAuthLine(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in, plain string
		want            *Reply
		cause           error
	}{
		{"response", "c2VjcmV0", "secret", nil, nil},
		{"empty response", "", "", nil, nil},
		{"cancelled", "*", "", authCancelled, errAuthStopped},
		{"cancelled twice", "**", "", badResponse, errBase64},
		{"empty as in AUTH", "=", "", badResponse, errBase64},
		{"pad first", "=AAA", "", badResponse, errBase64},
		{"pad inside", "AAA=BBB", "", badResponse, errBase64},
		{"pad between", "AAA=BBB=", "", badResponse, errBase64},
		{"no pad", "c2VjcmU", "", badResponse, errBase64},
		{"too much pad", "c2VjcmU==", "", badResponse, errBase64},
		{"bits in the pad", "c2VjcmV=", "", badResponse, errBase64},
		{"space", "c2Vj cmV0", "", badResponse, errBase64},
		{"CR", "c2VjcmV0\r", "", badResponse, errBase64},
		{"LF", "c2Vj\ncmV0", "", badResponse, errBase64},
		{"NUL", "c2VjcmV\x00", "", badResponse, errBase64},
		{"characters of URLs", "-_8=", "", badResponse, errBase64},
		{"too long", strings.Repeat("A", 12_292), "", responseTooLong, errResponse},
		{"too long and no base64", strings.Repeat("*", 12_289), "", responseTooLong, errResponse},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, refusal := DecodeAuthLine(test.in)
			checkRefusal(t, refusal, test.want, test.cause)
			if string(got) != test.plain {
				t.Errorf("got %q, want %q", got, test.plain)
			}
			if refusal != nil && strings.Contains(refusal.Error(), "c2V") {
				t.Errorf("the refusal repeats what may be a password: %v", refusal)
			}
		})
	}
}

// FuzzAuth: what was decoded is, encoded again, what came in, and is bounded; what was refused is refused for good, and leaves
// nothing.
func FuzzAuth(f *testing.F) {
	for _, seed := range []string{"", "*", "=", "c2VjcmV0", "AGEAYg==", "AAA=BBB", "a\nb", "c2VjcmV="} {
		f.Add("PLAIN", seed)
	}
	f.Add("scram-SHA-256", "AAAA")
	f.Add("x y", "")
	f.Fuzz(func(t *testing.T, name, response string) {
		plain, refusal := DecodeAuthLine(response)
		switch {
		case refusal != nil && (plain != nil || !refusal.Permanent() || refusal.Cause == nil):
			t.Errorf("got %q beside refusal %v", plain, refusal)
		case refusal == nil && (base64.StdEncoding.EncodeToString(plain) != response || len(response) > maxResponseOctets):
			t.Errorf("got %q of %q", plain, response)
		}
		mechanism, initial, has, refused := ParseAuth(name + " " + response)
		if refused != nil {
			if mechanism != "" || initial != nil || has || refused.Cause == nil {
				t.Errorf("got %q, %q, %v beside refusal %v", mechanism, initial, has, refused)
			}
			return
		}
		if !isMechanism(mechanism) || mechanism != strings.ToUpper(mechanism) {
			t.Errorf("got mechanism %q", mechanism)
		}
		if isMechanism(name) && refusal == nil && (string(initial) != string(plain) || has != (response != "")) {
			t.Errorf("got %q, %v, want %q", initial, has, plain)
		}
	})
}
