package rule

import (
	"slices"
	"strings"

	"sluice/internal/mailmanager"
	"sluice/internal/match"
	"sluice/internal/message"
)

// certificateFoldings has every attribute of a client's certificate. Mail Manager, section 4.4.
var certificateFoldings = map[mailmanager.RuleClientCertificateAttribute]match.Folding{
	mailmanager.RuleClientCertificateAttributeCn:                           match.FoldUnicode,
	mailmanager.RuleClientCertificateAttributeSanRfc822Name:                match.FoldAddress,
	mailmanager.RuleClientCertificateAttributeSanDnsName:                   match.FoldAddress,
	mailmanager.RuleClientCertificateAttributeSanDirectoryName:             match.FoldUnicode,
	mailmanager.RuleClientCertificateAttributeSanUniformResourceIdentifier: match.FoldUnicode,
	mailmanager.RuleClientCertificateAttributeSanIpAddress:                 match.FoldUnicode,
	mailmanager.RuleClientCertificateAttributeSanRegisteredId:              match.FoldUnicode,
	mailmanager.RuleClientCertificateAttributeSerialNumber:                 match.FoldASCII,
}

// attributeCertificate begins the names of these attributes in reasons.
const attributeCertificate = "CLIENT_CERTIFICATE_"

// comparedValues are the values of a condition as its operand compares them: serial numbers without their colons. A value
// of colons only stays as it is, so that it matches none instead of all. Mail Manager, D16.
func comparedValues(o operand, values []string) []string {
	if o.certificate != mailmanager.RuleClientCertificateAttributeSerialNumber {
		return values
	}
	compared := make([]string, len(values))
	for i, v := range values {
		if compared[i] = strings.ReplaceAll(v, ":", ""); compared[i] == "" {
			compared[i] = v
		}
	}
	return compared
}

// addCertificate takes what an operand needs of the certificate. Without one there is nothing, as with a field that is
// missing. Mail Manager, D9 and D16.
func (v *values) addCertificate(operand int, c *message.Certificate) {
	if c == nil {
		return
	}
	attribute := v.set.operands[operand].certificate
	if attribute == mailmanager.RuleClientCertificateAttributeSerialNumber {
		v.addSerialNumber(operand, c.SerialNumber)
		return
	}
	for _, text := range certificateTexts(c, attribute) {
		v.addText(operand, text)
	}
}

func certificateTexts(c *message.Certificate, attribute mailmanager.RuleClientCertificateAttribute) []string {
	switch attribute {
	case mailmanager.RuleClientCertificateAttributeCn:
		return c.CommonNames
	case mailmanager.RuleClientCertificateAttributeSanRfc822Name:
		return c.RFC822Names
	case mailmanager.RuleClientCertificateAttributeSanDnsName:
		return c.DNSNames
	case mailmanager.RuleClientCertificateAttributeSanDirectoryName:
		return c.DirectoryNames
	case mailmanager.RuleClientCertificateAttributeSanUniformResourceIdentifier:
		return c.URIs
	case mailmanager.RuleClientCertificateAttributeSanIpAddress:
		return c.IPAddresses
	case mailmanager.RuleClientCertificateAttributeSanRegisteredId:
		return c.RegisteredIDs
	}
	return nil
}

// addSerialNumber adds the serial number, which is shown as it is and compared without its colons.
func (v *values) addSerialNumber(operand int, number string) {
	from := len(v.text)
	v.text = append(v.text, number...)
	e := element{text: span{from, len(v.text)}}
	v.text = v.set.operands[operand].folding.Append(v.text, v.bytes(e.text))
	digits := slices.DeleteFunc(v.text[e.text.to:], func(c byte) bool { return c == ':' })
	v.text = v.text[:e.text.to+len(digits)]
	e.folded = span{e.text.to, len(v.text)}
	v.link(operand, e)
}
