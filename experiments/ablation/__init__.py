"""What each idea of the papers is worth: the same small training, with one thing changed at a time.

`variants` says what is trained, `runs` trains and scores it, `tables` and `figure` show it.

    python -m experiments.ablation --list -o OUT
"""
