// Strings with every kind of character, merged and not.
const char escapes[] = "tab\t quote\" backslash\\ newline\n bell\a zero\0 octal\001 high\377";
const char *message(int n) { return n ? "a message; with # and // and /* */" : "another 'one'"; }
char buffer[] = {1, 2, 3, 0, 0, 0, 0, 9};
