"""Introspection: which turns an outcome came from, in numbers and words, and whether that can be believed.

After SAGE-nano (arXiv 2507.00092). The story: a trajectory's turns in the sequence that was read (`traces`); what is
traced back to them from the outcome (`attention`), and is beyond the usual where they stand (`places`); what the frozen
forecaster says without some of them (`forecaster`, `removal`); one weight a turn by each signal (`signals`, `reading`);
whether removing what a signal names matters more than removing others (`matching`, `faithfulness`); decision points on
disk and in words (`points`, `wording`, `telling`). Left out: what an environment would have answered to another
decision.
"""
