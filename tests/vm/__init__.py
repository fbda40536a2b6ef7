"""Commands run under other kernels than the running one, in virtual machines (`python -m tests.vm.run`)."""
