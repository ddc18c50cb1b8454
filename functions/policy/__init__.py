"""The policy of a service: the rules that guard its releases. It is set by an operator's word, so no commit and no
update of a stack changes it. Pure."""
