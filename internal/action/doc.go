// Package action joins the actions of rules to the adapters that do them: a planner makes work items of a rule's step,
// and an executor for each kind of lane does them. For now there is one of each, for the action Relay. Start with
// NewPlanner and NewRelayExecutor.
package action
