def sanitize(data, kernel): return data
