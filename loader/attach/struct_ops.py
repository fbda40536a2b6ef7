def attach_struct_ops(*a): raise NotImplementedError
