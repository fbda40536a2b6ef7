golden.o: BPF object, little-endian
Sections: 5
  index  name         type      flags  size  align  relocations
      1  .text        progbits  ax        8      8            0
      2  maps         progbits  aw       16      8            0
      3  .rodata.str  progbits  aMS       5      1            0
      4  .bss         nobits    aw      114     16            0
      5  license      progbits  aw        4      1            0
Symbols: 6
  value  size  type    binding  visibility  section   name
    0x0     0  notype  local    default     .bss      buffer
   0x68    10  object  local    default     .bss      more
    0x5     0  notype  local    default     *ABS*     five
    0x0    16  object  global   default     maps      hashes
    0x8    24  object  global   default     *COMMON*  shared
    0x0     0  notype  weak     hidden      *UNDEF*   maybe
