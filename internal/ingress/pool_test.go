package ingress

import "testing"

func TestParsePool(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in, want string
	}{
		{"range", "127.0.0.1:2525-2599", "127.0.0.1:2525-2599"},
		{"one port", "127.0.0.1:2525", "127.0.0.1:2525-2525"},
		{"all addresses", ":25-25", ":25-25"},
		{"IPv6", "[::1]:2525-2530", "[::1]:2525-2530"},
		{"no port", "127.0.0.1", ""},
		{"empty", "", ""},
		{"backwards", "127.0.0.1:2599-2525", ""},
		{"port zero", "127.0.0.1:0-10", ""},
		{"over the last port", "127.0.0.1:65000-65536", ""},
		{"negative", "127.0.0.1:-5-10", ""},
		{"words", "127.0.0.1:smtp", ""},
		{"open end", "127.0.0.1:2525-", ""},
		{"bare IPv6", "::1:2525-2530", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			pool, err := ParsePool(tt.in)
			if tt.want == "" {
				if err == nil {
					t.Fatalf("got %v, want an error", pool)
				}
				return
			}
			if err != nil || pool.String() != tt.want {
				t.Errorf("got %v, %v, want %s", pool, err, tt.want)
			}
		})
	}
}

// FuzzParsePool: what is read prints to what reads the same.
func FuzzParsePool(f *testing.F) {
	for _, seed := range []string{"127.0.0.1:2525-2599", "[::1]:1-65535", ":25", "a:b-c", "", "[fe80::1%eth0]:9-10"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		pool, err := ParsePool(text)
		if err != nil {
			return
		}
		again, err := ParsePool(pool.String())
		if err != nil || again != pool {
			t.Errorf("ParsePool(%q) = %#v, printed and read again: %#v, %v", text, pool, again, err)
		}
	})
}

func TestIPv6Twin(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"127.0.0.1:25": "[::1]:25", "localhost:25": "[::1]:25", "0.0.0.0:2525": "[::]:2525", ":25": "[::]:25",
		"192.0.2.1:25": "", "[::1]:25": "", "nonsense": "",
	} {
		if got := ipv6Twin(in); got != want {
			t.Errorf("ipv6Twin(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestPoolNetwork(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"127.0.0.1:25": "tcp4", "0.0.0.0:25": "tcp4", ":25": "tcp4", "localhost:25": "tcp4", "[::ffff:127.0.0.1]:25": "tcp4",
		"[::1]:25": "tcp6", "[::]:25": "tcp6", "[fe80::1%eth0]:25": "tcp6",
	} {
		if got := poolNetwork(in); got != want {
			t.Errorf("poolNetwork(%q) = %q, want %q", in, got, want)
		}
	}
}
