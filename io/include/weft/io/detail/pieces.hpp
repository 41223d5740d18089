#pragma once
/// @file
/// Ranges of buffers, for calls that fill or send several at once: of spans, of strings that are in the range, and the
/// buffer sequences of Asio, a single one of its buffers included.

#include <array>
#include <concepts>
#include <cstddef>
#include <iterator>
#include <ranges>
#include <span>
#include <type_traits>
#include <utility>

namespace weft::inline v0::detail {

template <class Byte>
using void_like = std::conditional_t<std::is_const_v<Byte>, void const, void>;

/// Has `data()`, which points to bytes, and `size()`, their number.
template <class T, class Byte>
concept piece = requires(T const& t) {
  { t.data() } -> std::convertible_to<void_like<Byte>*>;
  { t.size() } -> std::convertible_to<std::size_t>;
} && (std::is_void_v<std::remove_pointer_t<decltype(std::declval<T const&>().data())>> || requires(T const& t) {
                  requires sizeof(*t.data()) == 1;
                });

/// A piece that says nothing of what is in it: one of Asio's buffers.
template <class T, class Byte>
concept untyped_piece = piece<T, Byte> &&
                        std::is_void_v<std::remove_pointer_t<decltype(std::declval<T const&>().data())>>;

/// The bytes of a piece of type `T` are there as long as the range that gave it: it is in the range, or refers to them.
template <class T, class Byte>
concept lasting_piece = piece<std::remove_cvref_t<T>, Byte> &&
                        (std::is_reference_v<T> || untyped_piece<std::remove_cvref_t<T>, Byte> ||
                         std::ranges::borrowed_range<std::remove_cvref_t<T>>);

template <class T, class Byte>
concept range_of_pieces = requires(T const& range) {
  std::end(range);
  requires lasting_piece<decltype(*std::begin(range)), Byte>;
};

template <class T>
concept buffers_to_fill = untyped_piece<T, std::byte> || range_of_pieces<T, std::byte>;
template <class T>
concept buffers_to_send = untyped_piece<T, std::byte const> || range_of_pieces<T, std::byte const>;

/// As many of the buffers as one call is given. None of them is empty.
template <class Byte>
class pieces {
public:
  static constexpr std::size_t most = 16;

  /// @param skip  bytes at the front that have been dealt with
  template <class Buffers>
  explicit pieces(Buffers const& buffers, std::size_t skip = 0) {
    if constexpr (untyped_piece<Buffers, Byte>) {
      add(buffers, skip);
    } else {
      auto const end = std::end(buffers);
      for (auto i = std::begin(buffers); i != end && count_ < most; ++i) add(*i, skip);
    }
  }

  [[nodiscard]] std::span<std::span<Byte> const> all() const noexcept { return std::span{pieces_}.first(count_); }

private:
  template <class Piece>
  void add(Piece const& piece, std::size_t& skip) {
    std::span<Byte> const bytes{static_cast<Byte*>(static_cast<void_like<Byte>*>(piece.data())), piece.size()};
    if (skip >= bytes.size()) {
      skip -= bytes.size();
    } else {
      pieces_[count_++] = bytes.subspan(skip);
      skip = 0;
    }
  }

  std::array<std::span<Byte>, most> pieces_;
  std::size_t count_ = 0;
};

/// How errors are told in another library's type. <weft/io/asio.hpp> has it for boost::system::error_code.
template <class ErrorCode>
struct foreign_error {
  static_assert(sizeof(ErrorCode) == 0,
                "weft: to use streams with boost::system::error_code, include <weft/io/asio.hpp>");
};

/// What layers on another library's streams ask a stream for. <weft/io/asio.hpp> has it.
template <class Dependent>
struct foreign_executor {
  static_assert(!std::is_void_v<Dependent>, "weft: to put layers of Asio on streams, include <weft/io/asio.hpp>");
};

}  // namespace weft::inline v0::detail
