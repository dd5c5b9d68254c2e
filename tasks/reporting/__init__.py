"""The report: one page that needs nothing but itself. Plain functions that return markup."""
