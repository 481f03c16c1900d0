"""Who may use how much: accounts, the sign-up gate, tokens and the quota ledger."""
