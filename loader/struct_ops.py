def resolve_struct_ops(*a): raise NotImplementedError
class StructOpsValue: pass
