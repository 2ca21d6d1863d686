"""What a server costs against size: started, filled, worked and left alone, at one size after the other.

plan file → `parsing` → `plan` → `sweeping`, which lets `measuring` run each point → `concluding` → Sweep.
"""
