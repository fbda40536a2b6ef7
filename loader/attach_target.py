from bpfas.loader.replacement import open_target
def find_attach_target(program, kernel, diagnostics): return None
