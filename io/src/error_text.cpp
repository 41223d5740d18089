#include "error_text.hpp"

#include <weft/io/error.hpp>

#include <string>
#include <utility>

namespace weft::inline v0::io {

void throw_error(std::error_code ec, std::initializer_list<std::string_view> words) {
  std::string text = "weft: ";
  for (auto const word : words) text.append(word);
  throw std::system_error(ec, text);
}

void throw_incomplete(std::size_t came, std::size_t wanted, std::string partial) {
  throw incomplete_read(std::string("weft: the stream ended after ")
                            .append(std::to_string(came))
                            .append(" of ")
                            .append(std::to_string(wanted))
                            .append(" bytes"),
                        std::move(partial));
}

void throw_too_large(std::string_view path, std::size_t limit) {
  throw limit_overrun(std::string("weft: '")
                          .append(path)
                          .append("' is larger than the limit of ")
                          .append(std::to_string(limit))
                          .append(" bytes"),
                      limit);
}

}  // namespace weft::inline v0::io
