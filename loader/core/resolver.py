class CoreResolver:
    def __init__(self, types, kernel): pass
