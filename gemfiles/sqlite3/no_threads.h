/* The sqlite3 gem compiles with -DSQLITE_THREADSAFE=1 whatever is asked for; an included file comes after that. */
#undef SQLITE_THREADSAFE
#define SQLITE_THREADSAFE 0
