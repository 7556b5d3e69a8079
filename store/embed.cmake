# Writes OUT: a C++ file that holds the text of every file in SQL, in name order.
# Commands arrive as one argument with spaces or semicolons between the paths.
string(REPLACE " " ";" SQL "${SQL}")
list(SORT SQL)
set(text "#include \"store/schema.h\"\n\nnamespace loglog {\n\nconst std::vector<Migration>& Migrations() {\n")
string(APPEND text "  static const auto* const all = new std::vector<Migration>{\n")
foreach(file ${SQL})
  get_filename_component(name ${file} NAME_WE)
  file(READ ${file} sql)
  string(APPEND text "      {\"${name}\", R\"sql(${sql})sql\"},\n")
endforeach()
string(APPEND text "  };\n  return *all;\n}\n\n}  // namespace loglog\n")
file(WRITE ${OUT} "${text}")
