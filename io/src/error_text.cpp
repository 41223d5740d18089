#include "error_text.hpp"

#include <string>

namespace weft::inline v0::io {

void throw_error(std::error_code ec, std::initializer_list<std::string_view> words) {
  std::string text = "weft: ";
  for (auto const word : words) text.append(word);
  throw std::system_error(ec, text);
}

}  // namespace weft::inline v0::io
