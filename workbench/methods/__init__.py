"""What the thesis proposes and what it compares with: plain torch, no files read, no plots."""
