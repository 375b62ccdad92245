"""What each idea of the papers is worth: the same small training, with one thing changed at a time.

`arms` says what is trained, `runs` trains and scores it, `tables` and `figure` show the results.

    python -m experiments.ablation --list -o OUT
"""
