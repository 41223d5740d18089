/// Boost.JSON is compiled here, so that programs need no library of it.
#include <boost/json/src.hpp>
