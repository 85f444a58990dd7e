# frozen_string_literal: true

# The places in which files of specs run: as many as may run at the same time. All lanes share them, each place being the
# lock of a file. So the places of a lane that has ended are free for the others.
class Places
  def initialize(stage, count)
    @free = Array.new(count) { |number| File.open("tmp/specs/#{stage}-#{number}.lock", File::RDWR | File::CREAT) }
  end

  # Answers nil if all of them are taken.
  def take
    place = @free.find { |free| free.flock(File::LOCK_EX | File::LOCK_NB) }
    @free.delete(place)
  end

  def give_back(place)
    place.flock(File::LOCK_UN)
    @free << place
  end
end
