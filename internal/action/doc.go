// Package action joins the actions of rules to the adapters that do them: a planner makes work items of a rule's step,
// and an executor for each kind of lane does them. There is one of each for the action Relay, and one for the lane by which
// senders are told what became of their mail. Start with NewPlanner, NewRelayExecutor and NewReporter.
package action
