"""CO-RE: instructions that say something of a type are made to say it of the kernel's type of that name."""
