"""Exchange with partners: pull their feeds, push ours where the plan says so, apply what comes, give receipts."""
