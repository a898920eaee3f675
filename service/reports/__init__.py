"""Reports: the paper's tables from scores, the published figures beside ours."""
