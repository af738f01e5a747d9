package control

// Profile is what one account may have, and whether it is refused what AWS refuses. It does not change.
type Profile struct {
	Strict bool   // the profile aws-strict: AWS's quotas and refusals (Mail Manager, A16)
	Limits Limits // every member is set
}

// NewProfile returns a profile with some limits of its own; the members that are 0 are those of aws-strict, or the generous
// ones.
func NewProfile(strict bool, own Limits) Profile {
	if strict {
		return Profile{Strict: true, Limits: own.Or(awsLimits())}
	}
	return Profile{Limits: own.Or(generousLimits())}
}

// Profiles are the profiles of all accounts. They do not change, and are safe for concurrent use.
type Profiles struct {
	everybody Profile
	accounts  map[string]*Profile
}

// NewProfiles returns the profiles of the accounts that have their own, and everybody's for the others.
func NewProfiles(everybody Profile, accounts map[string]Profile) *Profiles {
	p := &Profiles{everybody: everybody, accounts: make(map[string]*Profile, len(accounts))}
	for account, own := range accounts {
		p.accounts[account] = &own
	}
	return p
}

// Of is the profile of an account. The caller must not change it.
func (p *Profiles) Of(account string) *Profile {
	if own, ok := p.accounts[account]; ok {
		return own
	}
	return &p.everybody
}

// Strict reports whether an account is refused what AWS refuses.
func (p *Profiles) Strict(account string) bool { return p.Of(account).Strict }
