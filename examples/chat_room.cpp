/// A chat room in memory: what one says, all others hear who are there. Nobody waits for who is slow: the room
/// remembers the last three messages, and tells who comes late for them how many are gone.

#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <cstdio>
#include <string>

using namespace std::chrono_literals;

namespace {

struct message {
  std::string from;
  std::string text;
};

using room = weft::broadcast<message>;

/// Reads what is said, and takes some time for each message.
void listen(std::string const& name, room& in, std::chrono::nanoseconds time_to_read) {
  auto heard = in.subscribe();
  for (;;) {
    try {
      auto const said = heard.receive();
      if (!said) break;  // the room is closed
      std::printf("%-5s <- %s: %s\n", name.c_str(), said->from.c_str(), said->text.c_str());
      weft::sleep_for(time_to_read);
    } catch (weft::subscriber_lagged const& e) {
      std::printf("%-5s has missed %llu\n", name.c_str(), static_cast<unsigned long long>(e.missed()));
    }
  }
  std::printf("%-5s leaves\n", name.c_str());
}

}  // namespace

int main() {
  weft::run(
      [] {
        room lobby{3};
        weft::task_group members;
        lobby.send({"ana", "is anybody here?"});
        members.spawn([&] { listen("ben", lobby, 0s); });
        members.spawn([&] { listen("carla", lobby, 1h); });
        weft::sleep_for(1s);

        lobby.send({"ana", "good morning"});
        weft::sleep_for(1s);
        members.spawn([&] { listen("dora", lobby, 0s); });
        weft::sleep_for(1s);
        for (auto const* text : {"one", "two", "three", "four"}) {
          lobby.send({"ana", text});
          weft::sleep_for(1s);
        }
        lobby.close();
        members.wait();
      },
      weft::testing::in_virtual_time());
}

// Prints:
//   ben   <- ana: good morning
//   carla <- ana: good morning
//   ben   <- ana: one
//   dora  <- ana: one
//   ben   <- ana: two
//   dora  <- ana: two
//   ben   <- ana: three
//   dora  <- ana: three
//   ben   <- ana: four
//   dora  <- ana: four
//   ben   leaves
//   dora  leaves
//   carla has missed 1
//   carla <- ana: two
//   carla <- ana: three
//   carla <- ana: four
//   carla leaves
