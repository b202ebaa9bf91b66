def legal(row):
    return row["loss"] == row["loss"]
