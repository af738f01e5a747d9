// Package records writes the log records that resources of Mail Manager vend, as lines of JSON with exactly AWS's field
// names, to standard error or a file. They are off unless their kind is asked for, as at AWS. One output takes all kinds: a
// record is told by its fields, and its resource by resource_arn. What is not known, or does not apply, is left out;
// lists and the null reverse-path are written empty.
//
// Nothing here stands in the way of mail: what cannot be queued or written is dropped and counted (S18). Left out: the
// delivery to CloudWatch, S3 and Firehose, and the records of rule sets. Start with Open; ask Enabled before a record is
// put together.
// Source: Mail Manager, section 11; Mail Manager, F18 and F19.
package records
