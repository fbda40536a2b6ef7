class Variables:
    def __init__(self, maps, image): pass
    def close(self): pass
