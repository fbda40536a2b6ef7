# A part.
	mov	%r9, 9
