"""What a user opens: result files, a page, other programs' formats, drawings, plots."""
