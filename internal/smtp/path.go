package smtp

// Path is a reverse-path or forward-path that remembers what was received. The zero Path is the null reverse-path.
// Received is what stood between the angle brackets, without a source route; it is what rules see as the address and
// what is relayed. Local is the local part with quoting undone; Domain is as received.
// Source: RFC 5321, section 4.1.2.
type Path struct {
	Received string
	Local    string
	Domain   string
}

// IsNull reports whether the path is <>.
func (p Path) IsNull() bool { return p.Received == "" }

// String is the path as it stands between angle brackets on the wire.
func (p Path) String() string { return p.Received }
