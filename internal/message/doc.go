// Package message has the words for a message and what it is made of: its id, its envelope, the session it came in by, its
// header section in the bytes it was received in, the nodes that say what was added to it since, the trace field that we
// put before it, and the notification that says what became of it.
//
// Nothing here changes a received byte: Header reads, Node adds before and leaves out (Mail Manager, D1). Start with Header
// to read, with Node to write and with Report to notify. Left out: the body, which is not looked into here.
package message
