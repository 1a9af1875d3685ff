"""Train an image classifier with any learning-rate schedule.

python train.py scheduler=cosine                          one run
python train.py -m scheduler=step,cosine seed=0,1,2       a sweep: every combination
python train.py resume=outputs/runs/NAME                  continue a run that was stopped
python train.py --help                                    what can be chosen
"""

from lrlab.commands.train import main

if __name__ == "__main__":
    main()
